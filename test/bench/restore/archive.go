package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

const (
	clientsOfTenant = 5000
	mark            = "00112233445566778899aabbccddeeff" // in each URI; every client has others, so that the archive packs as real ones do
)

// archive makes the tenant of the writer and one client, and writes an archive of
// the state in which that client is there as often as it takes.
func (c cluster) archive(file string, size int64) (docs int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := nodes.Client(c.Nodes[0])
	defer client.Close()
	uris := []string{}
	for i := range 30 {
		uris = append(uris, fmt.Sprintf("https://app-%d.seed.example/callback/%s", i, mark))
	}
	patch, err := json.Marshal(map[string]any{"token_endpoint_auth_method": "none", "redirect_uris": uris})
	if err != nil {
		return 0, err
	}
	for _, req := range []*mutation.Request{
		{Op: mutation.OpTenantCreate, Name: "busy"},
		{Op: mutation.OpTenantCreate, Name: "seed"},
		{Op: mutation.OpClientCreate, Tenant: "seed", Name: "seed", Patch: patch},
	} {
		if _, err := client.Write(ctx, req); err != nil {
			return 0, err
		}
	}
	var saved bytes.Buffer
	m, err := client.Snapshot(ctx, &saved)
	if err != nil {
		return 0, err
	}
	state, err := snapshot.Read(&saved, snapshot.Limits{})
	if err != nil {
		return 0, err
	}
	tx := state.Image.Begin()
	seed := state.Image.Get(store.ClientPath("seed", "seed"))
	for i, left := 0, size; left > 0; i++ {
		slug := fmt.Sprintf("large-%04d", i/clientsOfTenant)
		put := func(path string, b []byte) error {
			left -= int64(len(b))
			docs++
			return tx.Load(path, b)
		}
		if i%clientsOfTenant == 0 {
			for d := range state.Image.Scan("tenants/seed/") {
				ref, err := store.ParsePath(d.Path)
				if err != nil {
					return 0, err
				}
				switch ref.Kind {
				case "tenant":
					err = put(store.TenantPath(slug), bytes.ReplaceAll(d.Bytes, []byte(`"seed"`), []byte(`"`+slug+`"`)))
				case "scope":
					err = put(store.ScopePath(slug, ref.Name), bytes.ReplaceAll(d.Bytes, []byte(`"seed"`), []byte(`"`+slug+`"`)))
				}
				if err != nil {
					return 0, err
				}
			}
		}
		id := fmt.Sprintf("client-%07d", i)
		b := bytes.ReplaceAll(seed.Bytes, []byte(`"client_id": "seed"`), []byte(`"client_id": "`+id+`"`))
		b = bytes.ReplaceAll(b, []byte(`"tenant": "seed"`), []byte(`"tenant": "`+slug+`"`))
		b = marked(b, i)
		if err := put(store.ClientPath(slug, id), b); err != nil {
			return 0, err
		}
	}
	img, _ := tx.Freeze(state.Image.Index, state.Image.Term)
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := snapshot.Write(f, img, m.ClusterID); err != nil {
		return 0, err
	}
	return docs, f.Close()
}

// marked puts other digits in the place of each mark.
func marked(b []byte, seed int) (out []byte) {
	parts := bytes.Split(b, []byte(mark))
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for i, part := range parts {
		if i > 0 {
			out = fmt.Appendf(out, "%016x%016x", random.Uint64(), random.Uint64())
		}
		out = append(out, part...)
	}
	return out
}
