package node

import (
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// checkConfig refuses a name or an address that could be none, before anything
// is made.
func checkConfig(c Config) error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.CertTTL < MinCertTTL {
		return store.Errorf(store.CodeInvalid, "a certificate of %s is too short to be renewed in time", c.CertTTL).WithHint("--cert-ttl is at least %s", MinCertTTL)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return store.Errorf(store.CodeInvalid, "cannot read %q as HOST:PORT", c.Listen)
	}
	if c.Advertise == "" {
		return reachable(host, "1", c.Listen) // the port is known once it is open
	}
	host, port, err := net.SplitHostPort(c.Advertise)
	if err != nil {
		return store.Errorf(store.CodeInvalid, "cannot read %q as HOST:PORT", c.Advertise)
	}
	return reachable(host, port, c.Advertise)
}

func reachable(host, port, address string) error {
	if ip := net.ParseIP(host); host == "" || port == "" || port == "0" || ip != nil && ip.IsUnspecified() {
		return store.Errorf(store.CodeInvalid, "others cannot reach this node at %s; say how with --advertise HOST:PORT", address)
	}
	return nil
}

// maxName is the limit of X.520 for a common name.
const maxName = 64

// checkName wants a node's name to be one word, so that it can be typed and
// stands in every message as it is: letters, digits, and . _ - inside.
func checkName(name string) error { return checkWord("the name of a node", name) }

func checkWord(what, name string) error {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || r != '.' && r != '_' && r != '-') {
			return store.Errorf(store.CodeInvalid, "%q cannot be %s: letters, digits, and . _ - inside", name, what).WithHint("choose another with --name")
		}
	}
	if name == "" || len(name) > maxName {
		return store.Errorf(store.CodeInvalid, "%s has 1 to %d characters", what, maxName).WithHint("give one with --name")
	}
	return nil
}

// free tells whether the port can be opened, before a token is spent on a node
// that others cannot reach.
func free(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return ln.Close()
}

// holdPort opens the port of a node that is nobody yet: without one it is not to
// become somebody.
func (n *Node) holdPort() (err error) {
	n.port, err = net.Listen("tcp", n.cfg.Listen)
	return err
}

// listen opens the port, if it is not held already. Port 0 picks one the first time and keeps it.
func (n *Node) listen() error {
	want := n.cfg.Listen
	host, port, err := net.SplitHostPort(want)
	if err != nil {
		return err
	}
	if kept, keptPort, err := net.SplitHostPort(n.self.Listen); port == "0" && err == nil && kept == host {
		want = net.JoinHostPort(host, keptPort)
	}
	ln := n.port
	if ln == nil {
		if ln, err = net.Listen("tcp", want); err != nil {
			return err
		}
	}
	n.port = nil
	n.mux = newMuxKeeping(n.open, ln, n.answer(), handshakeTimeout, maxHandshakes)
	n.mux.onRefused(n.tellRefused)
	listen := ln.Addr().String()
	advertise := n.cfg.Advertise
	if advertise == "" {
		advertise = listen
	}
	if n.self.Listen == listen && n.self.Advertise == advertise {
		return nil
	}
	n.self.Listen, n.self.Advertise = listen, advertise
	return n.dir.save(n.self)
}

// tellRefused tells of a connection whose other end proved to hold a certificate of
// the cluster authority, and of nobody else's: strangers are the log's.
func (n *Node) tellRefused(conn *tls.Conn, err error) {
	n.leftBehind(err)
	s := conn.ConnectionState()
	if len(s.PeerCertificates) == 0 || refusalLevel(err) == slog.LevelDebug { // not verified, or a broken line
		return
	}
	id, unnamed := pki.IdentityOf(s.PeerCertificates[0])
	if unnamed != nil {
		return
	}
	n.cfg.Refused(id.Actor(conn.RemoteAddr().String()), s.NegotiatedProtocol, err)
}
