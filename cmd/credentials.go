package cmd

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// maxPEM bounds a file of certificates or of a key, in bytes.
const maxPEM = 1 << 20

// options are how to reach the cluster, and as whom.
func (e *Env) options() (rpc.Options, error) {
	o := rpc.Options{Log: e.log(), Waiting: func(server, why string) { e.note("waiting for %s: %s", server, why) }}
	var err error
	if o.Servers, err = e.servers(); err != nil {
		return o, err
	}
	if !slices.ContainsFunc(o.Servers, remote) {
		return o, nil // the socket asks the kernel who we are
	}
	if o.Credentials, err = e.credentials(); err != nil {
		return o, err
	}
	o.Login = e.loginCommand()
	if !e.told {
		e.told = true
		e.overruled()
		e.aboutFiles(o.Credentials)
	}
	return o, nil
}

// remote tells an address from a socket.
func remote(server string) bool { return !strings.HasPrefix(server, "unix:") }

// overruled says that a context was named by a flag and its servers are not the
// ones that are asked.
func (e *Env) overruled() {
	if e.given("context").Source == fromFlag && e.given("server").Source == fromEnvironment {
		e.note("CPCTL_SERVER goes before the servers of context %q", e.flags.context)
	}
}

// credentials are who we are: the files that are given, else what the context
// holds; nil if we are nobody. A certificate and its key come from one place.
func (e *Env) credentials() (*pki.Credentials, error) {
	own := new(pki.Credentials)
	c, err := e.chosen()
	if err != nil {
		return nil, err
	}
	if c != nil {
		own.CAPEM, own.CertPEM, own.KeyPEM = []byte(c.CA), []byte(c.Certificate), []byte(c.Key)
	}
	g := &e.flags
	if g.ca != "" {
		if own.CAPEM, err = e.readFile(g.ca, maxPEM); err != nil {
			return nil, err
		}
	}
	if g.cert != "" || g.key != "" {
		if g.cert == "" || g.key == "" {
			return nil, usagef("--cert and --key belong together").WithHint("pass both, or set CPCTL_CERT and CPCTL_KEY")
		}
		if own.CertPEM, err = e.readFile(g.cert, maxPEM); err != nil {
			return nil, err
		}
		if own.KeyPEM, err = e.readFile(g.key, maxPEM); err != nil {
			return nil, err
		}
	}
	switch {
	case len(own.CertPEM) == 0:
		return nil, nil
	case len(own.CAPEM) == 0:
		return nil, usagef("whom to trust? a certificate needs the cluster's authority beside it").
			WithHint("pass --ca FILE, the ca.crt in tls/ of a node's data directory, or set CPCTL_CA")
	}
	return own, nil
}

// aboutFiles notes what becomes of files that only their owner can look after.
func (e *Env) aboutFiles(own *pki.Credentials) {
	if own == nil || e.flags.cert == "" {
		return
	}
	if st, err := os.Stat(e.flags.key); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		e.note("%s has mode %04o: others could read the key; make it yours alone: chmod 600 %s", e.flags.key, st.Mode().Perm(), e.flags.key)
	}
	h, err := holderOf(own.CertPEM)
	if err != nil {
		return // said when it is used
	}
	if left := h.NotAfter.Sub(e.now()); left > 0 && h.due(e.now()) {
		e.note("the certificate in %s ends in %s, and files are not renewed by themselves; a context is: cpctl login", e.flags.cert, span(left))
	}
}

// loginCommand is how new credentials are made for the servers that are asked.
func (e *Env) loginCommand() string {
	s, err := e.serverSetting()
	if err != nil {
		return ""
	}
	at := strings.Join(slices.DeleteFunc(strings.Split(s.Value, ","), func(s string) bool { return !remote(s) }), ",")
	if c, _ := e.chosen(); c != nil && e.flags.cert == "" {
		return "cpctl login " + at + " --token-file FILE --name " + c.Name + " --replace"
	}
	return "cpctl login " + at + " --token-file FILE --name CONTEXT"
}

// holder is whom a certificate names, and for how long.
type holder struct {
	Role      string    `json:"role"`
	Name      string    `json:"name"`
	Tenant    string    `json:"tenant"`
	ClusterID string    `json:"cluster_id"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`

	id     pki.Identity
	issued time.Time
}

// holderOf reads a certificate in PEM; nothing of it is verified.
func holderOf(certPEM []byte) (*holder, error) {
	own := pki.Credentials{CertPEM: certPEM}
	cert, err := own.Leaf()
	if err != nil {
		return nil, err
	}
	id, err := pki.IdentityOf(cert)
	if err != nil {
		return nil, err
	}
	issued, ends, err := own.Term()
	if err != nil {
		return nil, err
	}
	return &holder{string(id.Role), id.Name, id.Tenant, id.ClusterID, id.Serial, cert.NotBefore.UTC(), ends.UTC(), id, issued}, nil
}

// contextHolder is whom a context's certificate names; nil if it has none that
// can be read.
func contextHolder(c *config.Context) *holder {
	h, err := holderOf([]byte(c.Certificate))
	if err != nil {
		return nil
	}
	return h
}

// until says how long a certificate is good, for people.
func (e *Env) until(h *holder) string {
	at := h.NotAfter.Format(time.RFC3339)
	if left := h.NotAfter.Sub(e.now()); left > 0 {
		return "until " + at + ", " + span(left) + " left"
	}
	return "expired on " + at
}
