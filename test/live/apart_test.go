package live

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// makings runs a test on each kind of network that there is here.
func makings(t *testing.T, f func(t *testing.T)) {
	t.Run("namespaces", func(t *testing.T) {
		if why := namespacesMissing(); why != nil {
			t.Skipf("no network namespaces: %v", why)
		}
		t.Setenv(ByProxy, "")
		f(t)
	})
	t.Run("proxies", func(t *testing.T) {
		t.Setenv(ByProxy, "1")
		f(t)
	})
}

// Nodes on a network that can be broken are a cluster like any other, of
// different addresses, and a node that comes later is on it as well.
func TestNodesApartAreACluster(t *testing.T) {
	makings(t, func(t *testing.T) {
		c := FoundApart(t, 2)
		n3 := c.Add("--join", c.Nodes[0].Server())
		n3.Start()
		c.Await(n3)
		c.Voting()
		addresses := map[string]bool{}
		for _, m := range c.Status().Nodes {
			host, _, _ := strings.Cut(m.Address, ":")
			addresses[host] = true
		}
		if len(addresses) != 3 {
			t.Errorf("the nodes are at %v", addresses)
		}
		c.Must(n3.Server(), "tenant", "create", "acme")
		c.Identical()
	})
}

// A cut is one way, and silent: what was said meanwhile arrives later, on the same
// connection, and the other links are as they were.
func TestACutIsOneWayAndSilent(t *testing.T) {
	makings(t, func(t *testing.T) {
		c := peers(t, 3)
		a, b, d := c.Nodes[0], c.Nodes[1], c.Nodes[2]
		there, beside := call(t, a, b), call(t, d, b)
		there.trip("one")
		beside.trip("beside")

		c.Net.Cut(a, b)
		there.say("two")
		for range 100 { // each of which is long enough for it to have arrived
			beside.trip("beside")
		}
		if there.arrived("two") {
			t.Error("what was sent over a link that is cut has arrived")
		}
		if got := c.Net.Broken(); got != "n1 to n2 cut" {
			t.Errorf("broken: %s", got)
		}
		c.Net.Mend(a, b)
		there.hears("two")

		c.Net.Cut(b, a)
		there.say("three")
		Until(t, "it arrives: the other way is cut", func() bool { return there.arrived("three") })
		there.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := there.Read(make([]byte, 1)); n > 0 || !os.IsTimeout(err) {
			t.Errorf("heard %d bytes over a link that is cut, %v", n, err)
		}
		c.Net.Heal()
		there.hears("three")
		there.trip("four")

		// Nor does a connection come about, and nobody is told that it does not.
		c.Net.Cut(a, b)
		c.Net.Cut(b, a)
		late := call(t, a, b)
		late.say("five")
		beside.trip("beside")
		if late.arrived("five") {
			t.Error("a connection came about over a link that is cut")
		}
		c.Net.Heal()
		late.hears("five")
		if got := c.Net.Broken(); got != "" {
			t.Errorf("broken: %s", got)
		}
	})
}

// Nodes of different halves do not reach each other, those of one half do.
func TestASplitCutsBetweenItsGroupsOnly(t *testing.T) {
	makings(t, func(t *testing.T) {
		c := peers(t, 3)
		c.Net.Split(c.Nodes[:2])
		if got := c.Net.Broken(); got != "n1 to n3 cut, n2 to n3 cut, n3 to n1 cut, n3 to n2 cut" {
			t.Errorf("broken: %s", got)
		}
		call(t, c.Nodes[0], c.Nodes[1]).trip("within")
	})
}

// A delay is for each byte and each way, a limit for all of them together.
func TestASlowLinkIsSlow(t *testing.T) {
	makings(t, func(t *testing.T) {
		c := peers(t, 2)
		a, b := c.Nodes[0], c.Nodes[1]
		k := call(t, a, b)
		k.trip("hello")
		c.Net.Slow(a, b, 100*time.Millisecond, 0)
		if took := k.trip("one"); took < 100*time.Millisecond {
			t.Errorf("it took %s with a delay of 100 ms", took)
		}
		c.Net.Slow(b, a, 100*time.Millisecond, 0)
		if took := k.trip("two"); took < 200*time.Millisecond {
			t.Errorf("it took %s with a delay of 100 ms each way", took)
		}
		c.Net.Heal()
		const size, rate = 96 << 10, 128 << 10
		c.Net.Slow(a, b, 0, rate)
		// A link may be idle before, and what it owes then is forgiven.
		if took := k.trip(strings.Repeat("x", size)); took < 500*time.Millisecond {
			t.Errorf("%d bytes took %s at %d bytes a second", size, took, rate)
		}
		c.Net.Heal()
		Until(t, "the link is as fast as it was", func() bool { return k.trip("three") < 50*time.Millisecond })
	})
}

// A network goes with its test: no thread keeps a namespace, and with it a device.
func TestANetworkLeavesNothingBehind(t *testing.T) {
	makings(t, func(t *testing.T) {
		before := namespaces(t)
		t.Run("while it is there", func(t *testing.T) {
			c := peers(t, 2)
			if c.Net.String() == (&wires{}).String() && len(namespaces(t)) != len(before)+2 {
				t.Errorf("the threads are in %v, before in %v", namespaces(t), before)
			}
		})
		Until(t, "the threads have ended", func() bool { return slices.Equal(namespaces(t), before) })
	})
}

// namespaces are the network namespaces in which this process has a thread.
func namespaces(t *testing.T) []string {
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]bool{}
	for _, th := range threads {
		if name, err := os.Readlink(th); err == nil { // else it ends just now
			in[name] = true
		}
	}
	return slices.Sorted(maps.Keys(in))
}
