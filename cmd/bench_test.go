package cmd

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// benchWorld serves the tenant of a bench and remembers whether it is there.
func benchWorld(each func(*mutation.Request) error) (*world, func() bool) {
	w := newWorld()
	w.docs = map[string]string{}
	there := false
	w.fake.write = func(_ context.Context, req *mutation.Request) (*mutation.Answer, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := each(req); err != nil {
			return nil, err
		}
		switch req.Op {
		case mutation.OpTenantCreate:
			there = true
			w.docs["tenant/"+req.Name] = "{}"
		case mutation.OpTenantDelete:
			there = false
			w.docs = map[string]string{}
		case mutation.OpClientCreate:
			w.docs["client/"+req.Tenant+"/"+req.Name] = "{}"
		}
		return &mutation.Answer{Outcome: mutation.OutcomeOf(req.Op)}, nil
	}
	return w, func() bool { return there }
}

func TestBench(t *testing.T) {
	w, there := benchWorld(func(*mutation.Request) error { return nil })
	r := w.run("bench", "--clients", "1,4", "--count", "20", "-o", "json")
	var doc benchDoc
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || r.code != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	var got []string
	for _, run := range doc.Runs {
		if run.Count != 20 || run.Errors != 0 || run.PerSecond <= 0 || run.P50MS > run.P99MS || run.P99MS > run.MaxMS {
			t.Errorf("%+v", run)
		}
		got = append(got, run.Operation+" "+strings.Repeat("x", run.Clients))
	}
	if want := "write x,read x,write xxxx,read xxxx"; strings.Join(got, ",") != want {
		t.Errorf("runs %v, want %s", got, want)
	}
	if there() {
		t.Error("the tenant is left behind")
	}
	if w.closed != len(w.dialled) {
		t.Errorf("%d of %d clients closed", w.closed, len(w.dialled))
	}
}

func TestBenchCountsErrors(t *testing.T) {
	n := 0
	w, there := benchWorld(func(req *mutation.Request) error {
		if req.Op == mutation.OpClientCreate {
			if n++; n%4 == 0 {
				return store.Errorf(store.CodeRefused, "quota")
			}
		}
		return nil
	})
	r := w.run("bench", "--clients", "2", "--count", "8")
	if r.code != 8 || !strings.HasPrefix(r.err, "cpctl: 4 calls failed, the first: quota\n") { // two writes, and their reads
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.out, "write             2       8        2") || there() {
		t.Errorf("left behind: %v\n%s", there(), r.out)
	}
}

func TestBenchCleansUpAfterInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	w, there := benchWorld(func(req *mutation.Request) error {
		if n++; n == 5 {
			cancel()
		}
		return nil
	})
	w.ctx = ctx
	w.run("bench", "--clients", "1", "--count", "100").want(t, 130, "", "cpctl: interrupted\n")
	if there() || n > 10 {
		t.Errorf("left behind: %v, after %d calls", there(), n)
	}
}

func TestQuantiles(t *testing.T) {
	took := make([]time.Duration, 0, 101)
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	r := summary("read", 2, append(took, 0), 2*time.Second) // one failed
	want := benchRun{"read", 2, 101, 1, 50, 50, 99, 100}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if r := summary("read", 1, []time.Duration{0}, time.Second); r.Errors != 1 || r.PerSecond != 0 {
		t.Errorf("all failed: %+v", r)
	}
}
