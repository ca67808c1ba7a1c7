package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newBench(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure writes and reads of the cluster pointed at",
		Long: "Measure how many writes and linearizable reads a second the cluster does, and how long\n" +
			"they take. Each client has a connection of its own and one call at a time. It works in a\n" +
			"tenant of its own, bench-<random>, which it deletes at the end, also when interrupted.\n" +
			"There is no time limit unless --timeout or CPCTL_TIMEOUT gives one.",
		Example: "  cpctl bench --clients 1,16,64 --count 2000",
		Args:    named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	clients := cmd.Flags().String("clients", "1,16,64", "how many clients at once, `N[,N]`")
	calls := cmd.Flags().Int("count", 1000, "`N` writes and N reads for each number of clients")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		levels, err := numbers(*clients)
		if err != nil {
			return err
		}
		if *calls < 1 || *calls > maxCalls {
			return usagef("--count must be from 1 to %d", maxCalls)
		}
		o, err := env.options()
		if err != nil {
			return err
		}
		if !env.flags.timeoutGiven {
			env.flags.timeout = 0
		}
		ctx, cancel := env.deadline(cmd.Context())
		defer cancel()
		b := &bench{env: env, levels: levels, calls: *calls, dial: func() Cluster { return env.Dial(o) }}
		return b.run(ctx)
	}
	return cmd
}

const (
	maxClients = 4096
	maxCalls   = 1_000_000
)

// numbers reads the list of --clients.
func numbers(s string) ([]int, error) {
	var all []int
	for _, word := range strings.Split(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > maxClients {
			return nil, usagef("--clients %q must be numbers from 1 to %d with commas between", s, maxClients)
		}
		all = append(all, n)
	}
	return all, nil
}

// bench is one measurement.
type bench struct {
	env    *Env
	levels []int // numbers of clients
	calls  int   // of each operation at each level
	dial   func() Cluster
	tenant string
	made   bool         // the tenant, perhaps
	done   atomic.Int64 // calls of the run that is going on
	first  error        // the first call that failed
}

// benchRun is the result of one operation at one number of clients.
type benchRun struct {
	Operation string  `json:"operation"` // write, read
	Clients   int     `json:"clients"`
	Count     int     `json:"count"`
	Errors    int     `json:"errors"`
	PerSecond float64 `json:"per_second"` // calls that succeeded
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
	MaxMS     float64 `json:"max_ms"`
}

type benchDoc struct {
	FormatVersion string     `json:"format_version"`
	Kind          string     `json:"kind"` // bench
	Runs          []benchRun `json:"runs"`
}

// run measures, cleans up whatever happened, and prints what was measured.
func (b *bench) run(ctx context.Context) error {
	random := make([]byte, 6)
	rand.Read(random) // never fails
	b.tenant = "bench-" + hex.EncodeToString(random)
	runs, err := b.measure(ctx)
	if b.made {
		if cerr := b.cleanUp(ctx); err == nil && cerr != nil {
			err = fmt.Errorf("tenant %q is left behind: %w", b.tenant, cerr)
		} else if cerr != nil {
			b.env.note("tenant %q is left behind: cpctl tenant delete %[1]s --yes", b.tenant)
		}
	}
	if len(runs) > 0 {
		if perr := b.print(runs); err == nil {
			err = perr
		}
	}
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range runs {
		failed += r.Errors
	}
	if failed > 0 {
		return fmt.Errorf("%s failed, the first: %w", plural(failed, "call"), b.first)
	}
	return nil
}

// measure returns the runs that were completed before an error or the end of ctx.
func (b *bench) measure(ctx context.Context) ([]benchRun, error) {
	c := b.dial()
	defer c.Close()
	var runs []benchRun
	for i, clients := range b.levels {
		if i > 0 { // each level starts with an empty tenant
			if err := b.cleanUp(ctx); err != nil {
				return runs, err
			}
		}
		if err := b.createTenant(ctx, c); err != nil {
			return runs, err
		}
		for _, op := range []struct {
			name string
			call func(context.Context, Cluster, int) error
		}{{"write", b.write}, {"read", b.read}} {
			r, err := b.one(ctx, op.name, clients, op.call)
			if err != nil {
				return runs, err
			}
			runs = append(runs, r)
		}
	}
	return runs, nil
}

func (b *bench) createTenant(ctx context.Context, c writer) error {
	patch := fmt.Sprintf(`{"display_name":"cpctl bench","quotas":{"max_clients":%d}}`, b.calls)
	_, err := c.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Tenant: b.tenant, Name: b.tenant, Patch: json.RawMessage(patch)})
	b.made = b.made || err == nil || errors.Is(err, store.ErrUnknown)
	return err
}

// cleanUp deletes the tenant, also after an interrupt, and does not mind that
// it is not there.
func (b *bench) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	c := b.dial()
	defer c.Close()
	_, err := c.Write(ctx, &mutation.Request{Op: mutation.OpTenantDelete, Tenant: b.tenant, Name: b.tenant, IgnoreNotFound: true})
	return err
}

// callTime is how long one call may take before it counts as failed.
const callTime = 30 * time.Second

func (b *bench) write(ctx context.Context, c Cluster, i int) error {
	patch := fmt.Sprintf(`{"token_endpoint_auth_method":"none","redirect_uris":["https://c%d.bench.example/cb"]}`, i)
	_, err := c.Write(ctx, &mutation.Request{Op: mutation.OpClientCreate, Tenant: b.tenant, Name: fmt.Sprintf("c%d", i), Patch: json.RawMessage(patch)})
	return err
}

func (b *bench) read(ctx context.Context, c Cluster, i int) error {
	_, err := c.Get(ctx, rpc.GetArgs{Kind: "client", Tenant: b.tenant, Name: fmt.Sprintf("c%d", i)})
	return err
}

// one runs an operation with a number of clients, each with its own connection,
// until all calls are made.
func (b *bench) one(ctx context.Context, name string, clients int, call func(context.Context, Cluster, int) error) (benchRun, error) {
	b.done.Store(0)
	p := b.env.progress(func() string {
		return fmt.Sprintf("%s, %s: %d of %d", name, plural(clients, "client"), b.done.Load(), b.calls)
	})
	defer p.stop()
	took := make([]time.Duration, b.calls) // each written by one goroutine; 0: failed
	var next atomic.Int64
	var mu sync.Mutex // of b.first
	var all sync.WaitGroup
	start := time.Now()
	for range min(clients, b.calls) {
		all.Go(func() {
			c := b.dial()
			defer c.Close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= b.calls {
					return
				}
				d, err := timed(ctx, c, i, call)
				if err != nil && ctx.Err() == nil {
					mu.Lock()
					if b.first == nil {
						b.first = err
					}
					mu.Unlock()
				}
				took[i] = d
				b.done.Add(1)
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return benchRun{}, err
	}
	return summary(name, clients, took, time.Since(start)), nil
}

// timed makes one call and returns how long it took, 0 if it failed.
func timed(ctx context.Context, c Cluster, i int, call func(context.Context, Cluster, int) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	start := time.Now()
	if err := call(ctx, c, i); err != nil {
		return 0, err
	}
	return max(time.Since(start), 1), nil
}

func summary(name string, clients int, took []time.Duration, all time.Duration) benchRun {
	good := slices.DeleteFunc(slices.Clone(took), func(d time.Duration) bool { return d == 0 })
	slices.Sort(good)
	r := benchRun{Operation: name, Clients: clients, Count: len(took), Errors: len(took) - len(good)}
	if len(good) == 0 {
		return r
	}
	r.PerSecond = round(float64(len(good))/all.Seconds(), 10)
	r.P50MS, r.P99MS, r.MaxMS = ms(quantile(good, 0.50)), ms(quantile(good, 0.99)), ms(good[len(good)-1])
	return r
}

// quantile is the smallest of the sorted values that at least q of them do not
// exceed (nearest rank).
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func ms(d time.Duration) float64             { return round(float64(d)/float64(time.Millisecond), 1000) }
func round(f float64, steps float64) float64 { return math.Round(f*steps) / steps }

func (b *bench) print(runs []benchRun) error {
	d := benchDoc{store.FormatVersion, "bench", runs}
	return b.env.show(d, "tenant/"+b.tenant, func() error {
		t := table{titles: []string{"OPERATION", "CLIENTS>", "COUNT>", "ERRORS>", "PER SECOND>", "P50>", "P99>", "MAX>"}}
		for _, r := range runs {
			t.rows = append(t.rows, []string{r.Operation, strconv.Itoa(r.Clients), strconv.Itoa(r.Count), strconv.Itoa(r.Errors),
				fmt.Sprintf("%.0f", r.PerSecond), msText(r.P50MS), msText(r.P99MS), msText(r.MaxMS)})
		}
		return b.env.table(t)
	})
}

func msText(f float64) string { return fmt.Sprintf("%.2fms", f) }
