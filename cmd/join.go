package cmd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// joining is the cluster that --join names, and how a new node gets into it: at
// the socket of a member, or over the network with a token. Nothing is read or
// dialled before the node asks, since in a directory that belongs to a cluster
// it never does.
type joining struct {
	env     *Env
	servers []string
	local   bool       // sockets
	file    string     // of the token
	read    *pki.Token // once it was
	log     *slog.Logger
}

var _ node.Joiner = (*joining)(nil)

// joining is nil without --join.
func (f *nodeFlags) joining(env *Env, log *slog.Logger) (*joining, error) {
	if f.join == "" {
		return nil, f.tokenAlone(env, log)
	}
	j := &joining{env: env, servers: strings.Split(f.join, ","), file: f.tokenFile, log: log}
	sockets := 0
	for _, s := range j.servers {
		path, local := strings.CutPrefix(s, "unix:")
		host, port, err := net.SplitHostPort(s)
		switch {
		case local && path != "":
			sockets++
		case local || err != nil || host == "" || port == "" || port == "0":
			return nil, usagef("--join %q is neither HOST:PORT nor unix:PATH", s).
				WithHint("HOST:PORT is the --listen address of a member, unix:PATH the cpctl.sock in its data directory")
		}
	}
	if j.local = sockets > 0; j.local && sockets < len(j.servers) {
		return nil, usagef("--join %q names sockets and addresses", f.join).WithHint("a socket needs no token, an address does: give the one or the other")
	}
	return j, nil
}

// tokenAlone refuses --token-file without --join: whoever has a token wants into
// a cluster, and an empty directory would found another. One that belongs to a
// cluster needs neither.
func (f *nodeFlags) tokenAlone(env *Env, log *slog.Logger) error {
	if f.tokenFile == "" {
		return nil
	}
	dir := env.dataDir()
	if _, err := os.Lstat(filepath.Join(dir, "node.json")); errors.Is(err, fs.ErrNotExist) {
		return usagef("--token-file needs --join").
			WithHint("name members of the cluster: --join HOST:PORT[,HOST:PORT]; to found a new cluster, leave out --token-file")
	}
	log.Info("this directory belongs to a cluster already: --token-file is ignored", "directory", dir)
	return nil
}

// addresses are those where other members may be found.
func (j *joining) addresses() []string {
	if j.local {
		return nil
	}
	return j.servers
}

// client asks at the sockets as whoever runs this process, at addresses as the
// holder of the credentials.
func (j *joining) client(own *pki.Credentials) *rpc.Client {
	return rpc.NewClient(rpc.Options{Servers: j.servers, Credentials: own, Log: j.log})
}

func (j *joining) Enrol(ctx context.Context, req node.EnrolRequest) (*node.Enrolment, error) {
	if j.local {
		c := j.client(nil)
		defer c.Close()
		e, err := c.Enrol(ctx, rpc.EnrolArgs(req))
		return (*node.Enrolment)(e), err
	}
	token, err := j.token()
	if err != nil {
		return nil, err
	}
	e, err := rpc.Enrol(ctx, j.servers, token, rpc.EnrolArgs(req))
	return (*node.Enrolment)(e), err
}

// Ready finds out what is wrong with the token before the directory is on its
// way into a cluster: one that waits for another command line founds none.
func (j *joining) Ready() error {
	if j.local {
		return nil
	}
	_, err := j.token()
	return err
}

// token reads the token once: stdin has it no second time.
func (j *joining) token() (pki.Token, error) {
	if j.file == "" {
		return pki.Token{}, usagef("--join %s needs a token", strings.Join(j.servers, ",")).
			WithHint("make one at a member: cpctl token create --role node --name NAME --out FILE; then pass --token-file FILE")
	}
	if j.read == nil {
		t, err := j.env.readToken(j.file)
		if err != nil {
			return t, err
		}
		j.read = &t
	}
	return *j.read, nil
}

func (j *joining) Admit(ctx context.Context, req node.AdmitRequest, own pki.Credentials) error {
	if j.local {
		c := j.client(nil)
		defer c.Close()
		return c.Admit(ctx, rpc.AdmitArgs(req))
	}
	c := j.client(&own)
	defer c.Close()
	return c.Join(ctx, rpc.AdmitArgs(req))
}
