package store

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
)

// benchPatch is what a web application with a few addresses asks for: 600 bytes.
func benchPatch() []byte {
	const host = "app-00001234.customers.example.com"
	return fmt.Appendf(nil, `{"client_name":"Application 1234 of the customer portal","description":"Signs customers in, and shows them their orders and invoices.",`+
		`"token_endpoint_auth_method":"none","redirect_uris":["https://%[1]s/oauth/callback","https://%[1]s/oauth/silent-renew","https://%[1]s/signin-oidc"],`+
		`"post_logout_redirect_uris":["https://%[1]s/signed-out"],"allowed_cors_origins":["https://%[1]s"],`+
		`"grant_types":["authorization_code","refresh_token"],"contacts":["owner-1234@example.com"]}`, host)
}

func benchClient(b *testing.B) *Client {
	c, err := CompleteClient(nil, "acme", "web", benchPatch())
	if err != nil {
		b.Fatal(err)
	}
	c.UID, c.Meta = sampleUID, sampleMeta()
	return c
}

// The steps of a change of a client, by the bytes: what the leader does to its
// request, what every node does to its document, and what its caller is shown.
func BenchmarkAmend(b *testing.B) {
	patch := benchPatch()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Amend(nil, patch, nil, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompleteClient(b *testing.B) {
	patch := benchPatch()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompleteClient(nil, "acme", "web", patch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		Encode(c)
	}
}

func BenchmarkNewDoc(b *testing.B) {
	doc := Encode(benchClient(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewDoc("tenants/acme/clients/web.json", doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkView(b *testing.B) {
	doc := Encode(benchClient(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := View(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecordLine(b *testing.B) {
	r := Record{Sequence: 12345, ID: sampleUID, Time: sampleMeta().CreatedAt, Op: "client.create", Index: 9, Revision: 4, Names: []string{"client/acme/web"}}
	b.Run("written", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Line()
		}
	})
	line := r.Line()
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadRecord(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadClient is what DecodeDoc does first: by the lines, or by parsing.
func BenchmarkReadClient(b *testing.B) {
	doc := Encode(benchClient(b))
	b.Run("lines", func(b *testing.B) {
		for b.Loop() {
			if !readLines(doc, reflect.ValueOf(new(Client)).Elem()) {
				b.Fatal("it is parsed")
			}
		}
	})
	b.Run("parsed", func(b *testing.B) {
		for b.Loop() {
			var fm form
			fm.fill(parse(doc, MaxDocument, &fm.faults), reflect.ValueOf(new(Client)).Elem(), reflect.Value{})
			if len(fm.faults) > 0 {
				b.Fatal(fm.faults)
			}
		}
	})
}

// BenchmarkURI: one of the usual kind is recognized, or taken apart.
func BenchmarkURI(b *testing.B) {
	const uri = "https://app-00001234.customers.example.com/oauth/silent-renew"
	b.Run("usual", func(b *testing.B) {
		for b.Loop() {
			if _, usual := usualURI(uri); !usual {
				b.Fatal("it is taken apart")
			}
		}
	})
	b.Run("apart", func(b *testing.B) {
		for b.Loop() {
			if u, err := parseURI(uri); err != nil || checkHTTP(u) != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeDoc(b *testing.B) {
	doc := Encode(benchClient(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeDoc("tenants/acme/clients/web.json", doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeld is what the state holds of a document: heap, in bytes of each.
func BenchmarkHeld(b *testing.B) {
	doc := Encode(benchClient(b))
	tx := NewImage().Begin()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n := heap(), 0
	for b.Loop() {
		if err := tx.Load(fmt.Sprintf("tenants/acme/clients/client-%08d.json", n), doc); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "B/held")
	b.ReportMetric(float64(len(doc)), "B/doc")
	runtime.KeepAlive(tx)
}
