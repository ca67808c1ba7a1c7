package live

import (
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

// namespacesMissing says why nodes cannot have network namespaces of their own
// here; nil if they can.
var namespacesMissing = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("they need root and %s", tunDevice)
	}
	th := newThread()
	defer close(th)
	return th.do(func() error {
		tun, err := unshareNetwork(netip.AddrFrom4([4]byte{10, 0, 0, 1}))
		if err != nil {
			return err
		}
		return tun.Close()
	})
})

// unshareNetwork gives this thread, and what it starts, a network of its own with
// one address. What is sent from it can be read from the file as packets, and
// packets written to the file arrive.
func unshareNetwork(address netip.Addr) (tun *os.File, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare the network: %w", err)
	}
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	ifr, err := unix.NewIfreq("tun0")
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	mask := [4]byte{255, 255, 255, 0}
	for _, step := range []struct {
		what, device string
		request      uint
		fill         func(*unix.Ifreq) error
	}{
		{"address", "tun0", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.AsSlice()) }},
		{"netmask", "tun0", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }},
		{"state", "tun0", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }},
		{"state", "lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }},
	} {
		r, err := unix.NewIfreq(step.device)
		if err == nil {
			err = step.fill(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, step.request, r)
		}
		if err != nil {
			return nil, fmt.Errorf("set the %s of %s: %w", step.what, step.device, err)
		}
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // from here on the runtime polls it: Close ends a Read
}
