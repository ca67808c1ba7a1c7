package live

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socketInode finds the TCP socket with this end of a connection of this machine.
func socketInode(source netip.AddrPort) string {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer f.Close()
	want := procAddress(source)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st queues timer retransmits uid timeout inode
		if field := strings.Fields(lines.Text()); len(field) > 9 && field[1] == want && field[9] != "0" {
			return field[9]
		}
	}
	return ""
}

// procAddress writes an address as /proc/net/tcp does: its bytes as a number of
// this machine, which is little-endian wherever tests run, and the port.
func procAddress(a netip.AddrPort) string {
	b := a.Addr().Unmap().AsSlice()
	slices.Reverse(b)
	return strings.ToUpper(hex.EncodeToString(b)) + fmt.Sprintf(":%04X", a.Port())
}

// holdsSocket says whether a process has this socket open.
func holdsSocket(pid int, inode string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
