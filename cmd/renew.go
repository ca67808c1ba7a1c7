package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
)

const (
	// renewLimit bounds the renewal of a certificate beside a command.
	renewLimit = 5 * time.Second
	// renewWait is how much longer a command may take for it. What is not done by
	// then is tried again by the next command: a third of the life is left.
	renewWait = time.Second
)

// renewer gives who asks their next certificate.
type renewer interface {
	Renew(ctx context.Context, csr []byte) (*rpc.Enrolment, error)
}

// due tells whether a certificate is in the last third of its life.
func (h *holder) due(now time.Time) bool {
	return now.After(h.issued.Add(h.NotAfter.Sub(h.issued) / 3 * 2))
}

// renewing renews the certificate of the context beside the command that uses
// it, if it is due; or behind it, if a server was of a later generation of the
// cluster than the certificate: with one of that, no node is heard any more that
// was left behind when the cluster was recovered. What it returns ends that; it
// never fails the command.
func (e *Env) renewing(ctx context.Context, o rpc.Options, met *atomic.Uint64) (end func()) {
	c, err := e.chosen()
	if o.Credentials == nil || err != nil || c == nil || string(o.Credentials.CertPEM) != c.Certificate {
		return func() {} // files are their owner's to renew
	}
	h := contextHolder(c)
	if h == nil || h.NotAfter.Before(e.now()) {
		return func() {}
	}
	done := make(chan error, 1)
	begin := func() (cancel func()) {
		ctx, cancel := context.WithTimeout(ctx, renewLimit)
		go func() { done <- e.renew(ctx, o, *c) }()
		return cancel
	}
	cancel := func() {}
	due := h.due(e.now())
	if due {
		cancel = begin()
	}
	return func() {
		if !due {
			if met.Load() <= h.id.Generation {
				return
			}
			cancel = begin()
		}
		defer cancel()
		var err error
		select {
		case err = <-done:
		case <-time.After(renewWait):
			cancel()
			err = <-done
		}
		if err != nil && e.flags.verbose {
			e.note("the certificate of context %q is not renewed yet: %v", c.Name, err)
		}
	}
}

// renew gets the next certificate for a new key and keeps both. Of several
// processes that find it due one does it.
func (e *Env) renew(ctx context.Context, o rpc.Options, c config.Context) error {
	path := e.configPath()
	return config.Alone(path, func() error {
		f, err := config.Read(path)
		if err != nil {
			return err
		}
		if now := f.Find(c.Name); now == nil || now.Certificate != c.Certificate {
			return nil // done meanwhile
		}
		next, err := e.askRenewal(ctx, o, c)
		if err != nil {
			return err
		}
		return config.Update(ctx, path, func(f *config.File) error {
			now := f.Find(c.Name)
			if now == nil || now.Certificate != c.Certificate {
				return errors.New("the context was changed meanwhile")
			}
			now.CA, now.Certificate, now.Key = next.CA, next.Certificate, next.Key
			return nil
		})
	})
}

// askRenewal asks over the network only: at a socket we would be somebody else.
func (e *Env) askRenewal(ctx context.Context, o rpc.Options, c config.Context) (*config.Context, error) {
	o.Servers = slices.DeleteFunc(slices.Clone(o.Servers), func(s string) bool { return !remote(s) })
	client := e.Dial(o)
	defer client.Close()
	csr, key, err := pki.NewCSR("cpctl renew")
	if err != nil {
		return nil, err
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		return nil, err
	}
	answer, err := client.Renew(ctx, csr)
	if err != nil {
		return nil, err
	}
	if _, err := tls.X509KeyPair(answer.CertPEM, keyPEM); err != nil {
		return nil, fmt.Errorf("the certificate that came is not for the key: %w", err)
	}
	before := contextHolder(&c)
	after, err := holderOf(answer.CertPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate that came: %w", err)
	}
	if before.id.String() != after.id.String() || before.ClusterID != after.ClusterID {
		return nil, fmt.Errorf("the certificate that came is of %s in cluster %s", after.id, after.ClusterID)
	}
	next := config.Context{CA: string(answer.CAPEM), Certificate: string(answer.CertPEM), Key: config.PrivateKey(keyPEM)}
	if next.CA == "" {
		next.CA = c.CA
	}
	return &next, nil
}
