package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// One who makes changes without end is slowed down, at the leader, whichever
// nodes they come through; nobody else is.
func TestChangesWithoutEndAreRationed(t *testing.T) {
	t.Parallel()
	// A new leader begins with full buckets: on a busy machine there is to be none.
	c := found(t, 2, "--heartbeat-timeout", "3s", "--election-timeout", "3s")
	b := c.write(t)
	cert := c.person(access.Operator, "ana", "")
	large := `"a":"` + strings.Repeat("x", 200_000) + `"` // 49 tokens each; refused for what is in it, which costs the same
	var made, refused atomic.Int64
	begun := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var all sync.WaitGroup
	for i := range 16 {
		w := c.dial(t, cert, i%2, rpc.ProtocolRPC)
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf(`{"timeout_ms":20000,"from":{"role":"admin","name":"0","source":"unix"},"args":{"id":"ration-%d-%d","no_time":true,"dry_run":true,"op":"tenant.update",`+
					`"name":"acme","patch":{"annotations":{%s,"n":"%d"}}}}`, i, n, large, n)
				a, err := w.call("Cluster.Write", []byte(body))
				switch {
				case err != nil:
					t.Error(err)
					return
				case a.Err != nil && a.Err.Code == store.CodeUnavailable && a.Err.Message == "too many changes at once by operator/ana":
					refused.Add(1)
					time.Sleep(time.Millisecond)
				case a.Err == nil || a.Err.Code != store.CodeInvalid:
					t.Errorf("%s", a)
				default:
					made.Add(1)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begun).Seconds()
	if most := int64((1000+500*took)/49) + 16; refused.Load() == 0 || made.Load() > most {
		t.Errorf("%d changes were judged in %.1f s, and %d refused; want some refused and at most %d judged", made.Load(), took, refused.Load(), most)
	}
	// A client of hers waits and gets through.
	if _, err := c.client(cert, 0).Write(t.Context(), renamed("acme", 1)); err != nil {
		t.Errorf("a client of the same identity: %v", err)
	}
	other := rpc.NewClient(rpc.Options{Servers: []string{c.at(1)}, Credentials: ptr(c.person(access.Operator, "bob", ""))})
	defer other.Close()
	if _, err := other.Write(t.Context(), renamed("acme", 2)); err != nil && errors.Is(err, store.ErrUnavailable) {
		t.Errorf("another operator: %v", err)
	}
	b.goesOn(t, 10)
}

func ptr[T any](v T) *T { return &v }
