package publish

import (
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// many tenants of ten clients each; n documents in all.
func crowd(b *testing.B, n int) (*world, []string) {
	w := newWorld(b)
	var clients []string
	for i := range n / 14 {
		slug := fmt.Sprint("t", i)
		w.tenant(slug, 1)
		for c := range 10 {
			name := store.ClientPath(slug, fmt.Sprint("c", c))
			w.load(name, document(slug, w.made, 1))
			clients = append(clients, name)
		}
	}
	return w, clients
}

// atItsOwnPace is started without the haste of the tests.
func atItsOwnPace(b *testing.B, w *world) *Publisher {
	p := open(b, b.TempDir())
	p.yard.respite = spareRest
	img, _ := w.image()
	p.Start(img)
	wait(b, p, img.Index)
	return p
}

// BenchmarkPublishOne is one change at a time: what an answer waits for.
func BenchmarkPublishOne(b *testing.B) {
	w, clients := crowd(b, 2000)
	p := atItsOwnPace(b, w)
	n := uint64(2)
	for b.Loop() {
		w.set(clients[int(n)%len(clients)], n)
		w.publish(p)
		n++
	}
}

// BenchmarkPublishBatch is the cost of a changed file among 256 that change together.
func BenchmarkPublishBatch(b *testing.B) {
	w, clients := crowd(b, 2000)
	p := atItsOwnPace(b, w)
	n := uint64(2)
	for b.Loop() {
		for range 256 {
			w.set(clients[int(n)%len(clients)], n)
			n++
		}
		w.publish(p)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n-2), "us/file")
}

// BenchmarkReplace is the cost of a file of a tree that is exchanged as a whole.
func BenchmarkReplace(b *testing.B) {
	const files = 5000
	w, _ := crowd(b, files)
	p := atItsOwnPace(b, w)
	n := 0
	for b.Loop() {
		img, _ := w.image()
		p.Replace(img)
		wait(b, p, img.Index)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*files), "us/file")
}

// BenchmarkCompare is the cost of a file that is as it should be.
func BenchmarkCompare(b *testing.B) {
	const files = 5000
	w, _ := crowd(b, files)
	p := atItsOwnPace(b, w)
	n := 0
	for b.Loop() {
		if faults, err := p.Check(nil, false); err != nil || len(faults) > 0 {
			b.Fatal(faults, err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*files), "us/file")
}
