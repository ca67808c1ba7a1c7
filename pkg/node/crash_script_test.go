package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// chapter is the entries that one change put into the log, up to an index.
type chapter struct {
	what string
	last uint64
}

// script is the log that a real node has written: every kind of change.
type script struct {
	clusterID string
	entries   []*raft.Log // by index, from 1 on
	chapters  []chapter
	bulk      uint64               // an index within the thousand clients
	images    []*store.Image       // by index; the one before where raft keeps an entry for itself
	history   map[string][]edition // by path in data/
}

// edition is what a file holds from an index on; "" is none.
type edition struct {
	from  uint64
	bytes string
}

func delivered(e *raft.Log) bool { return e.Type == raft.LogCommand || e.Type == raft.LogConfiguration }

// bulk is more clients than are published one by one.
const bulk = 1100

// writeScript runs a real node in a directory that was founded, and changes
// everything there is to change.
func writeScript(t *testing.T, dir string) *script {
	t.Helper()
	c := trioIn(t, dir)
	c.open("n1", false)
	defer c.close("n1")
	n := c.leader()
	s := &script{clusterID: n.ClusterID(), entries: []*raft.Log{nil}}
	did := func(what string) {
		t.Helper()
		last, err := n.logs.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		s.chapters = append(s.chapters, chapter{what, last})
	}
	do := func(req *mutation.Request) {
		t.Helper()
		c.must(req)
		did(fmt.Sprintf("%s %s/%s", req.Op, req.Tenant, req.Name))
	}
	rotate := func(slug string) { do(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: slug, Alg: "EdDSA"}) }
	did("the founding")
	do(tenantNamed("acme"))
	do(&mutation.Request{Op: mutation.OpScopeCreate, Tenant: "acme", Name: "orders:read"})
	do(clientNamed("acme", "web"))
	do(&mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: "web", Patch: json.RawMessage(`{"client_name":"The shop","scopes":["orders:read"]}`)})
	do(&mutation.Request{Op: mutation.OpClientSecretRotate, Tenant: "acme", Name: "web"})
	rotate("acme")
	do(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{"display_name":"Acme Inc."}`)})
	do(&mutation.Request{Op: mutation.OpScopeDelete, Tenant: "acme", Name: "orders:read", Detach: true})
	do(tenantNamed("globex"))
	do(clientNamed("globex", "app"))
	rotate("globex")
	rotate("globex")
	do(&mutation.Request{Op: mutation.OpClientDelete, Tenant: "acme", Name: "web"})
	archive := archiveOf(t, n)
	for i, change := range []func(raft.ServerID, uint64, time.Duration) raft.IndexFuture{
		func(id raft.ServerID, prev uint64, d time.Duration) raft.IndexFuture {
			return n.raft().AddNonvoter(id, joinAddress("nobody", "127.0.0.1:1"), prev, d)
		}, n.raft().RemoveServer} {
		if err := change("nobody", 0, patience).Error(); err != nil {
			t.Fatal(err)
		}
		did(fmt.Sprintf("member %d that comes and goes, an index with no change", i))
	}
	do(&mutation.Request{Op: mutation.OpTenantDelete, Name: "acme"})
	do(tenantNamed("acme"))
	do(clientNamed("acme", "other"))
	do(clientNamed("acme", "more"))
	if _, err := restore(n, archive, "the-restore", false); err != nil {
		t.Fatal(err)
	}
	did("a restore: its stage, and its commit")
	do(clientNamed("acme", "after-the-restore"))
	c.clock.Store(int64(26 * time.Hour))
	c.until("the end of the retiring keys", func() error {
		if _, _, ok := n.Image().NextExpiry(); ok {
			return errors.New("some are left")
		}
		return nil
	})
	did("keys that expire")
	do(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "globex", Patch: json.RawMessage(`{"display_name":"Globex"}`)})
	do(tenantNamed("bulk"))
	var all sync.WaitGroup
	next := make(chan int)
	for range 32 {
		all.Go(func() {
			for i := range next {
				c.must(clientNamed("bulk", fmt.Sprintf("c%d", i)))
			}
		})
	}
	for i := range bulk {
		next <- i
	}
	close(next)
	all.Wait()
	did("a thousand clients")
	s.bulk = s.chapters[len(s.chapters)-1].last
	do(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "bulk", Patch: json.RawMessage(`{"display_name":"Many"}`)})
	do(&mutation.Request{Op: mutation.OpTenantDelete, Name: "bulk"})
	rotate("acme")
	c.close("n1")
	s.read(t, filepath.Join(dir, "raft", "raft.db"))
	return s
}

// read takes the entries and applies them, in memory and one by one.
func (s *script) read(t *testing.T, path string) {
	t.Helper()
	log, err := openLog(nil, path, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	state := fsm.New(fsm.Config{Image: store.NewImage(), ClusterID: func() string { return s.clusterID },
		Commit: func(publish.Committed) error { return nil }, Files: noFiles{}, Stop: func(err error) { t.Error(err) }})
	s.images, s.history = []*store.Image{state.Image()}, map[string][]edition{}
	for i := uint64(1); i <= s.chapters[len(s.chapters)-1].last; i++ {
		e := new(raft.Log)
		if err := log.GetLog(i, e); err != nil {
			t.Fatal(err)
		}
		if delivered(e) {
			if o, ok := state.Apply(e).(*fsm.Outcome); ok {
				for _, r := range o.Results {
					if r.Refusal != nil {
						t.Fatalf("entry %d: %v", i, r.Refusal)
					}
				}
			}
		}
		s.entries, s.images = append(s.entries, e), append(s.images, state.Image())
		s.note(s.images[i-1], s.images[i], i)
	}
	if state.Image().Get(applier.ClusterPath) == nil {
		t.Fatal("the cluster is not on record")
	}
}

// note puts what an entry changed into the history. The files of a tenant that
// was replaced by another of its slug, as a restore may do, go before the new ones come.
func (s *script) note(old, img *store.Image, index uint64) {
	for _, top := range []string{"tenants/", "keys/"} {
		for d := range img.Scan(top) {
			was := old.Get(d.Path)
			if was != nil && string(was.Bytes) == string(d.Bytes) {
				continue
			}
			if slug := strings.Split(d.Path, "/")[1]; was != nil && uidOf(old, slug) != uidOf(img, slug) {
				s.history[d.Path] = append(s.history[d.Path], edition{index, ""})
			}
			s.history[d.Path] = append(s.history[d.Path], edition{index, string(d.Bytes)})
		}
		for d := range old.Scan(top) {
			if img.Get(d.Path) == nil {
				s.history[d.Path] = append(s.history[d.Path], edition{index, ""})
			}
		}
	}
}

func uidOf(img *store.Image, slug string) string {
	if d := img.Get(store.TenantPath(slug)); d != nil {
		return d.Head.(*store.Tenant).UID
	}
	return ""
}

func (s *script) last() uint64 { return uint64(len(s.entries) - 1) }

type noFiles struct{}

func (noFiles) Publish(*store.Image, []string) {}
func (noFiles) Replace(*store.Image)           {}
func (noFiles) Idle(uint64)                    {}
