// Authserver is the smallest authorization server on top of a node's files: it
// serves the key sets of all tenants, and gives access tokens to clients that
// authenticate with their secret. It shows how to use package reader, and is not
// for use: tokens have no scope, requests are not limited, TLS is left to others.
//
//	cpctl key export -t acme --out acme.jwk
//	authserver -data-dir /var/lib/cpctl -key acme=acme.jwk
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cpctl/cpctl/pkg/reader"
)

// server answers from the files; only what costs more than a file to find out
// is kept in memory, and loaded anew at every change.
type server struct {
	files *reader.Reader
	keys  map[string]string                      // tenant -> file of its signing key
	state atomic.Pointer[map[string]*signedWith] // by tenant
}

// signedWith is what tokens of a tenant need, all of one moment.
type signedWith struct {
	tenant *reader.Tenant
	key    *reader.SigningKey // nil while the exported key is not the active one
}

func main() {
	log.SetFlags(0)
	s := &server{keys: map[string]string{}}
	dataDir := flag.String("data-dir", "/var/lib/cpctl", "data directory of the node")
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve at")
	flag.Func("key", "SLUG=FILE from cpctl key export; may be given again", func(v string) error {
		slug, file, ok := strings.Cut(v, "=")
		if s.keys[slug] = file; !ok {
			return errors.New("want SLUG=FILE")
		}
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx, *dataDir, *listen); err != nil && ctx.Err() == nil {
		log.Fatalf("authserver: %v", err)
	}
}

func (s *server) run(ctx context.Context, dataDir, listen string) (err error) {
	if s.files, err = reader.Open(dataDir); err != nil {
		return err
	}
	if _, err := s.files.Changed(ctx, reader.Marker{}); err != nil { // the node has verified its files
		return err
	}
	marker, err := s.load()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("ready: http://%s", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /t/{tenant}/jwks.json", s.jwks)
	mux.HandleFunc("POST /t/{tenant}/token", s.token)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go s.follow(ctx, marker)
	context.AfterFunc(ctx, func() { web.Close() })
	return web.Serve(l)
}

// load reads every tenant, and the keys of those that sign here, at one moment.
func (s *server) load() (reader.Marker, error) {
	var state map[string]*signedWith
	marker, err := s.files.View(func(v *reader.View) error {
		state = map[string]*signedWith{}
		slugs, err := v.Tenants()
		if err != nil {
			return err
		}
		for _, slug := range slugs {
			tenant, err := v.Tenant(slug)
			if err != nil {
				return err
			}
			state[slug] = &signedWith{tenant: tenant}
			if file := s.keys[slug]; file != "" {
				if state[slug].key, err = activeKey(v, slug, file); err != nil {
					log.Printf("tenant %s gets no tokens: %v", slug, err)
				}
			}
		}
		return nil
	})
	if err == nil {
		s.state.Store(&state)
	}
	return marker, err
}

// activeKey reads the exported key, which signs only while it is the active one.
func activeKey(v *reader.View, slug, file string) (*reader.SigningKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := reader.ParseSigningKey(b)
	if err != nil {
		return nil, err
	}
	keys, err := v.Keys(slug)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(keys, func(k reader.Key) bool { return k.KID == key.KID && k.State == "active" }) {
		return nil, fmt.Errorf("key %s is not active any more; export the one that is", key.KID)
	}
	return key, nil
}

// follow loads again whenever the files have changed.
func (s *server) follow(ctx context.Context, marker reader.Marker) {
	for ctx.Err() == nil {
		next, err := s.files.Changed(ctx, marker)
		if err == nil {
			next, err = s.load() // its marker: a change after that is another one
		}
		if err == nil {
			marker = next
		} else if ctx.Err() == nil {
			log.Printf("the state is that of index %d: %v", marker.Index, err)
			time.Sleep(time.Second)
		}
	}
}
