package attacks

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// A frame that is larger than one may be ends the connection; memory is made for
// what has arrived and not for what is claimed.
func TestAFrameThatClaimsAGibibyte(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	ana, ada := c.person(access.Operator, "ana", ""), c.person(access.Admin, "ada", "")
	gib := []byte{0x40, 0, 0, 0}
	for range 20 {
		for what, try := range map[string]func() io.ReadWriteCloser{
			"a frame": func() io.ReadWriteCloser {
				w := c.dial(t, ana, 0, rpc.ProtocolRPC)
				w.Write(append(gib, make([]byte, 4096)...))
				return w
			},
			"what a stream is for": func() io.ReadWriteCloser {
				w := c.dial(t, ana, 0, rpc.ProtocolStream)
				w.Write(append(gib, make([]byte, 4096)...))
				return w
			},
		} {
			w := try().(*wire)
			if wantEnd(t, what, w, 4*time.Second); t.Failed() {
				t.Fatalf("%s of 1 GiB is waited for", what)
			}
			w.Close()
		}
	}
	// In an archive it is the end of it, and the reason is said.
	w := c.dial(t, ada, 0, rpc.ProtocolStream)
	w.Write(append(chunk([]byte(`{"op":"restore","restore":{"request_id":"gib"}}`)), gib...))
	wantEnd(t, "a chunk of an archive", w, 20*time.Second)
	// A mebibyte that is claimed and does not come costs what has come.
	var claims []*wire
	for range 60 {
		w := c.dial(t, ana, 0, rpc.ProtocolRPC)
		w.Write([]byte{0, 0x0f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 13})
		w.Write([]byte("Cluster.Write"))
		claims = append(claims, w)
	}
	b.goesOn(t, 10)
	wantBounded(t, c.Nodes[0], before, 48)
	for _, w := range claims {
		w.Close()
	}
	c.nothingLeft(t, b, before)
}

// bomb is a gob of a type that is hundreds of types deep.
func bomb(t *testing.T) []byte {
	t.Helper()
	type deep struct {
		A map[string][]map[string][]map[string][]map[string]any
		B []any
		C *deep
	}
	gob.Register(map[string]any{})
	v := &deep{}
	for range 200 {
		v = &deep{C: v, B: []any{map[string]any{"x": strings.Repeat("y", 100)}}}
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	// And the head of a slice of 2^31 elements, for whoever would make room for it.
	return append(b.Bytes(), 0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

// What is no call, or one that is made to be expensive, is refused in bounded
// memory, and the connection goes on.
func TestBodiesThatNobodyHonestSends(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	call := func(args string) []byte { return []byte(`{"timeout_ms":20000,"args":` + args + `}`) }
	write := func(patch string) []byte {
		return call(`{"id":"bomb","no_time":true,"op":"tenant.update","name":"acme","patch":` + patch + `}`)
	}
	full := func(one, sep string, most int) string {
		return strings.Repeat(one+sep, most/len(one+sep)) + one
	}
	const nearly = 1_000_000
	const list, get, write_ = "Cluster.List", "Cluster.Get", "Cluster.Write"
	w := c.dial(t, c.person(access.Operator, "ana", ""), 0, rpc.ProtocolRPC)
	for _, tt := range []struct {
		name   string
		method string
		body   []byte
	}{
		{"gob", write_, bomb(t)},
		{"nothing", write_, nil},
		{"zeroes", write_, make([]byte, nearly)},
		{"half of an object", write_, []byte(`{"args":{"id":"x"`)},
		{"a list in place of an object", write_, []byte(`[` + full("1", ",", nearly) + `]`)},
		{"brackets, a million deep", write_, []byte(strings.Repeat("[", nearly))},
		{"objects, a hundred thousand deep", write_, []byte(strings.Repeat(`{"args":`, 100_000) + "1" + strings.Repeat("}", 100_000))},
		{"a document nested nine thousand deep", write_, write(`{"settings":{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}}`)},
		{"a number of a million digits", write_, call(`{"age_us":` + strings.Repeat("9", nearly) + `}`)},
		{"a number that is none", get, call(`{"read":{"min_index":1e999999999}}`)},
		{"a number below all", list, call(`{"kind":"client","tenant":"acme","limit":-1e99}`)},
		{"a document of a number of a million digits", write_, write(`{"access_token_ttl":` + strings.Repeat("9", nearly) + `}`)},
		{"a name twice", write_, write(`{"display_name":"a","display_name":"b"}`)},
		{"eighty thousand names", write_, write(`{"labels":{` + manyMembers(80_000, `"a"`) + `}}`)},
		{"three hundred thousand elements", write_, call(`{"id":"bomb","no_time":true,"op":"tenant.update","name":"acme","set":[` + full("{}", ",", nearly) + `]}`)},
		{"three hundred thousand lists", write_, write(`{"settings":{"x":[` + full("[]", ",", nearly) + `]}}`)},
		{"lists that may hold something sealed", write_, write(`{"settings":{"sealed":[` + full("{}", ",", nearly) + `]}}`)},
		{"eighty thousand labels to look for", list, call(`{"kind":"nothing","tenant":"acme","labels":{` + manyMembers(80_000, `"a"`) + `}}`)},
		{"text that is no UTF-8", write_, write(`{"display_name":"` + string([]byte{0xff, 0xfe}) + `"}`)},
		{"a method of ours that is none", "Cluster.Close", call(`{}`)},
		{"a method of the library", "rpc.Register", call(`{}`)},
		{"no method", "", call(`{}`)},
	} {
		a, err := w.call(tt.method, tt.body)
		if err != nil {
			t.Fatalf("%s: %v; want an answer on a connection that goes on", tt.name, err)
		}
		if a.wire == "" && (a.Err == nil || a.Err.Code != store.CodeInvalid && a.Err.Code != store.CodeNotFound) {
			t.Errorf("%s: %s", tt.name, a)
		}
		if len(a.wire) > 1000 || a.Err != nil && len(a.Err.Message) > 64<<10 {
			t.Errorf("%s: the answer has %d bytes", tt.name, len(a.wire)+len(a.Err.Message))
		}
	}
	// Duplicates of what a call carries itself change nobody into anybody else.
	a, err := w.call(write_, []byte(`{"from":{"role":"node"},"from":{"role":"admin","source":"unix","name":"0"},"args":{"id":"dup","no_time":true,"op":"tenant.delete","name":"globex"},"args":{"op":"sys.found"}}`))
	if err != nil || a.Err == nil || a.Err.Code != store.CodeInvalid && a.Err.Code != store.CodeDenied {
		t.Errorf("members given twice: %v, %v", a, err)
	}
	if _, err := w.call("Cluster.Health", call(`{}`)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	b.goesOn(t, 10)
	wantBounded(t, c.Nodes[0], before, 160)
}

func manyMembers(n int, value string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":%s`, i, value)
	}
	return b.String()
}

// Calls that are made and whose answers are never read wait at their caller's,
// in bounded memory, and are in nobody's way.
func TestAReaderThatNeverReadsAnAnswer(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	// A page of a list that is as long as one can be.
	long := fmt.Sprintf("%q", strings.Repeat("x", 4000))
	for i := range 24 {
		patch := json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code"],"annotations":{` + manyMembers(6, long) + `}}`)
		admin := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[0].Server()}})
		_, err := admin.Write(t.Context(), &mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: fmt.Sprintf("big-%02d", i), Patch: patch})
		admin.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	ci := c.person(access.Reader, "ci", "")
	frame := framed(1, "Cluster.List", args(t, rpc.ListArgs{Kind: "client", Tenant: "acme"}, nil))
	var greedy sync.WaitGroup
	var conns []*wire
	for range 20 {
		w := c.dial(t, ci, 0, rpc.ProtocolRPC)
		conns = append(conns, w)
		greedy.Go(func() {
			w.SetDeadline(time.Now().Add(5 * time.Second))
			for seq := byte(1); seq < 250; seq++ {
				frame := bytes.Clone(frame)
				frame[11] = seq
				if _, err := w.Write(frame); err != nil {
					return
				}
			}
		})
	}
	greedy.Wait()
	if _, err := c.client(c.person(access.Reader, "other", ""), 0).List(t.Context(), rpc.ListArgs{Kind: "client", Tenant: "acme", Limit: 2}); err != nil {
		t.Errorf("another reader: %v", err)
	}
	b.goesOn(t, 10)
	wantBounded(t, c.Nodes[0], before, 128)
	for _, w := range conns {
		w.Close()
	}
	c.nothingLeft(t, b, before)
}
