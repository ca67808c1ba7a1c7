package live

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runAsPeer in the environment of a node makes it a peer: a program that shows
// what a network does, and nothing of cpctl.
const runAsPeer = "CPCTL_TEST_PEER"

// peer writes down all that comes to its address, and sends it back. It passes
// on what comes to its socket, of which the first line is an address, and what
// comes back.
func peer(args []string) error {
	fs := flag.NewFlagSet("peer", flag.ContinueOnError)
	listen, dir := fs.String("listen", "", ""), fs.String("data-dir", "", "")
	fs.String("name", "", "")
	fs.String("advertise", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	received, err := os.OpenFile(filepath.Join(*dir, "received"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.MultiWriter(received, c), c)
		}
	}()
	control, err := net.Listen("unix", filepath.Join(*dir, "cpctl.sock"))
	if err != nil {
		return err
	}
	for {
		c, err := control.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			address, err := r.ReadString('\n')
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimSpace(address))
			if err != nil {
				return
			}
			defer to.Close()
			go io.Copy(to, r)
			io.Copy(c, to)
		}()
	}
}

// peers starts some on a network that can be broken.
func peers(t *testing.T, n int) *Cluster {
	c := NewApart(t)
	for range n {
		p := c.Add()
		p.Env = []string{runAsPeer + "=1"}
		p.Start()
		Until(t, "it listens", func() bool {
			conn, err := net.Dial("unix", strings.TrimPrefix(p.Server(), "unix:"))
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return c
}

// talk is a connection between two peers, as the first one has it.
type talk struct {
	t  *testing.T
	to *Node
	net.Conn
}

func call(t *testing.T, from, to *Node) *talk {
	conn, err := net.Dial("unix", strings.TrimPrefix(from.Server(), "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	address := to.address
	if to.advertise != "" {
		address = to.advertise
	}
	fmt.Fprintln(conn, address)
	return &talk{t, to, conn}
}

func (k *talk) say(s string) {
	if _, err := io.WriteString(k, s); err != nil {
		k.t.Error(err)
	}
}

// hears waits for what comes back.
func (k *talk) hears(s string) {
	k.t.Helper()
	k.SetReadDeadline(time.Now().Add(Patience))
	b := make([]byte, len(s))
	if _, err := io.ReadFull(k, b); err != nil || string(b) != s {
		k.t.Fatalf("heard %q, %v; want %q", b, err, s)
	}
}

// trip is how long it takes to say something and to hear it.
func (k *talk) trip(s string) time.Duration {
	k.t.Helper()
	began := time.Now()
	go k.say(s) // a slow link takes it while some of it is heard already
	k.hears(s)
	return time.Since(began)
}

func (k *talk) arrived(s string) bool {
	b, err := os.ReadFile(filepath.Join(k.to.Dir, "received"))
	return err == nil && strings.Contains(string(b), s)
}
