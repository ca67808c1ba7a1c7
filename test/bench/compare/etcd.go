package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// etcd is three nodes of the other, with a certificate that all share.
type etcd struct {
	version   string
	base      string // where the certificate is
	processes []*nodes.Process
	endpoints []string
	tls       *tls.Config
	value     []byte
}

func foundEtcd(base, binary string, value []byte) (*etcd, error) {
	if err := os.Mkdir(base, 0o700); err != nil {
		return nil, err
	}
	out, err := exec.Command(binary, "--version").Output()
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(out), "\n")
	e := &etcd{version: "etcd " + strings.TrimPrefix(first, "etcd Version: "), base: base, value: value}
	if e.tls, err = certificate(base); err != nil {
		return nil, err
	}
	if err := e.begin(base, binary); err != nil {
		e.end()
		return nil, err
	}
	return e, nil
}

func (e *etcd) begin(base, binary string) error {
	var peers []string
	for i := range 3 {
		ports, err := free(2)
		if err != nil {
			return err
		}
		e.endpoints = append(e.endpoints, "https://127.0.0.1:"+ports[0])
		peers = append(peers, fmt.Sprintf("e%d=https://127.0.0.1:%s", i+1, ports[1]))
	}
	file := func(name string) string { return filepath.Join(base, name) }
	for i, at := range e.endpoints {
		name, peer, _ := strings.Cut(peers[i], "=")
		p, _, err := nodes.Launch(name, file(name+".log"), nil, binary, "--name", name, "--data-dir", file(name),
			"--listen-client-urls", at, "--advertise-client-urls", at, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new", "--quota-backend-bytes", "8589934592",
			"--cert-file", file("cert.pem"), "--key-file", file("key.pem"), "--trusted-ca-file", file("ca.pem"), "--client-cert-auth",
			"--peer-cert-file", file("cert.pem"), "--peer-key-file", file("key.pem"), "--peer-trusted-ca-file", file("ca.pem"), "--peer-client-cert-auth",
			"--log-level", "warn")
		if err != nil {
			return err
		}
		e.processes = append(e.processes, p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	one, err := e.dial(e.endpoints...)
	if err != nil {
		return err
	}
	defer one.close()
	for {
		try, enough := context.WithTimeout(ctx, time.Second)
		err := one.write(try, 0)
		enough()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// free finds ports that nobody uses.
func free(count int) (ports []string, err error) {
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

func (e *etcd) name() string { return "etcd" }

func (e *etcd) end() {
	for _, p := range e.processes {
		p.End()
	}
}

func (e *etcd) cpu() (time.Duration, error) { return nodes.CPU(e.processes...) }

func (e *etcd) dial(at ...string) (oneOfEtcd, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: at, TLS: e.tls, DialTimeout: nodes.Patience, Logger: zap.NewNop()})
	return oneOfEtcd{c, e.value}, err
}

// leader is the endpoint of the node that leads.
func (e *etcd) leader(ctx context.Context) (string, error) {
	one, err := e.dial(e.endpoints...)
	if err != nil {
		return "", err
	}
	defer one.close()
	for _, at := range e.endpoints {
		if st, err := one.Status(ctx, at); err != nil {
			return "", err
		} else if st.Leader == st.Header.MemberId {
			return at, nil
		}
	}
	return "", errors.New("no node of etcd leads")
}

// callers are count callers of the leader, or of all nodes in turn.
func (e *etcd) callers(ctx context.Context, count int, spread bool) ([]caller, error) {
	leader, err := e.leader(ctx)
	if err != nil {
		return nil, err
	}
	var all []caller
	for i := range count {
		at := leader
		if spread {
			at = e.endpoints[i%len(e.endpoints)]
		}
		one, err := e.dial(at)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

type oneOfEtcd struct {
	*clientv3.Client
	value []byte
}

func key(i int) string {
	return "tenants/" + nodes.Tenant(i) + "/clients/" + nodes.ClientID(i) + ".json"
}

func (e oneOfEtcd) write(ctx context.Context, i int) error {
	_, err := e.Put(ctx, key(i), string(e.value))
	return err
}

func (e oneOfEtcd) read(ctx context.Context, i int) error {
	r, err := e.Get(ctx, key(i))
	if err == nil && len(r.Kvs) != 1 {
		err = fmt.Errorf("key %d is not there", i)
	}
	return err
}

func (e oneOfEtcd) close() { e.Close() }
