package nodes

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestEachNumberIsCalledOnce(t *testing.T) {
	var mu sync.Mutex
	var called []int
	l, err := Callers(8, Numbers(5, 100), func(_, i int) error {
		mu.Lock()
		defer mu.Unlock()
		called = append(called, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(called)
	if len(called) != 100 || called[0] != 5 || called[99] != 104 || len(slices.Compact(called)) != 100 {
		t.Errorf("called %v, want 5 to 104", called)
	}
	if len(l.Calls) != 100 {
		t.Errorf("%d calls were measured, want 100", len(l.Calls))
	}
}

func TestAFailureEndsAllCallers(t *testing.T) {
	broken := errors.New("broken")
	_, err := Callers(8, func() (int, bool) { return 0, true }, func(caller, _ int) error {
		if caller == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("err = %v, want %v", err, broken)
	}
}

func TestAQuantileIsOneOfTheCalls(t *testing.T) {
	var l Load
	if got := l.Quantile(0.99); got != 0 {
		t.Errorf("p99 of no call is %s, want 0", got)
	}
	for i := 150; i > 0; i-- {
		l.Calls = append(l.Calls, Call{Took: time.Duration(i)})
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 75, 0.99: 149, 1: 150} {
		if got := l.Quantile(q); got != want {
			t.Errorf("quantile %v of 1 to 150 is %d, want %d", q, got, want)
		}
	}
}
