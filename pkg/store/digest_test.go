package store

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func TestTheTermOfADocumentIsItsSHA256(t *testing.T) {
	want := sha256.Sum256([]byte("tenants/acme/tenant.json\x00{}\n"))
	got := Sum("tenants/acme/tenant.json", []byte("{}\n"))
	if got.String() != hex.EncodeToString(want[:]) || got.Bytes() != want {
		t.Errorf("Sum = %s, want %x", got, want)
	}
	if Sum("ab", []byte("c")) == Sum("a", []byte("bc")) {
		t.Error("the border between path and bytes does not count")
	}
}

func TestDigestsCarryFromWordToWord(t *testing.T) {
	const most = ^uint64(0)
	for _, c := range []struct {
		fact       string
		a, b, want Digest
	}{
		{"adds words", Digest{1, 2, 3, 4}, Digest{10, 20, 30, 40}, Digest{11, 22, 33, 44}},
		{"carries into the next word", Digest{most, 0, 0, 0}, Digest{1, 0, 0, 0}, Digest{0, 1, 0, 0}},
		{"carries through all words", Digest{most, most, most, 0}, Digest{1, 0, 0, 0}, Digest{0, 0, 0, 1}},
		{"begins again at 2^256", Digest{most, most, most, most}, Digest{1, 0, 0, 0}, Digest{}},
		{"carries once only", Digest{most, most, 0, 0}, Digest{most, most, 0, 0}, Digest{most - 1, most, 1, 0}},
	} {
		sum := c.a
		sum.add(c.b)
		if sum != c.want {
			t.Errorf("%s: %x + %x = %x, want %x", c.fact, c.a, c.b, sum, c.want)
		}
		if sum.sub(c.b); sum != c.a {
			t.Errorf("%s: taken away again: %x, want %x", c.fact, sum, c.a)
		}
	}
	if got := (Digest{0, 0, 0, 1}).String(); got != "0000000000000001"+"000000000000000000000000000000000000000000000000" {
		t.Errorf("the last word is the most significant: got %s", got)
	}
}

func TestDigestsDoNotDependOnTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	terms := make([]Digest, 200)
	for i := range terms {
		terms[i] = Sum("p", []byte{byte(i), byte(i >> 8)})
	}
	var want Digest
	for _, x := range terms {
		want.add(x)
	}
	for range 20 {
		r.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
		var got Digest
		for i, x := range terms {
			got.add(x)
			if i%3 == 0 { // a document that was there for a while
				got.add(terms[(i+1)%len(terms)])
				got.sub(terms[(i+1)%len(terms)])
			}
		}
		if got != want {
			t.Fatalf("another order gives %s, want %s", got, want)
		}
	}
}
