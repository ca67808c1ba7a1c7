package pki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func newToken(t *testing.T) Token {
	t.Helper()
	token, err := NewToken()
	if err != nil {
		t.Fatal(err)
	}
	if token.CA, err = Fingerprint(newAuthority(t, testCluster).CertPEM()); err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenIsReadAsItWasWritten(t *testing.T) {
	want := newToken(t)
	text := want.Encode()
	if len(text) != 157 || bytes.Count(text, []byte("\n")) != 1 || len(text) > MaxToken {
		t.Errorf("the text has %d bytes: %q", len(text), text)
	}
	for _, b := range [][]byte{text, bytes.TrimSuffix(text, []byte("\n"))} {
		if got, err := ParseToken(b); err != nil || got != want {
			t.Errorf("read %#v, %v", got, err)
		}
	}
	if other := newToken(t); other.ID == want.ID || other.Secret == want.Secret {
		t.Error("two tokens are alike")
	}
	if !TokenMatches(want.Hash(), want.Secret[:]) || TokenMatches(want.Hash(), want.CA[:]) || TokenMatches("", nil) {
		t.Error("a hash does not tell the secret from another")
	}
}

func TestATokenThatWasAlteredIsToldFromOneThatIsNone(t *testing.T) {
	whole := string(newToken(t).Encode())
	for at := len(tokenPrefix); at < len(whole)-1; at++ {
		for _, c := range []string{"", "0", "A", ":", "\n", whole[at:at+1] + whole[at:at+1]} {
			text := whole[:at] + c + whole[at+1:]
			if text == whole {
				continue
			}
			_, err := ParseToken([]byte(text))
			if !errors.Is(err, store.ErrDenied) {
				t.Fatalf("with %q at %d: %v", c, at, err)
			}
		}
	}
	for _, text := range []string{"", "\n", " " + whole, "hello", tokenPrefix[:13], "cpctl-token-2:" + whole[14:], string(ClusterKey{1}.Encode())} {
		if _, err := ParseToken([]byte(text)); !errors.Is(err, store.ErrInvalid) || strings.Contains(err.Error(), "hello") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{tokenPrefix, whole + "\n", whole + whole, strings.TrimSuffix(whole, "\n") + "\r\n"} {
		if _, err := ParseToken([]byte(text)); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestATokenIsNeverPrinted(t *testing.T) {
	token := newToken(t)
	text := strings.Split(string(token.Encode()), ":")[2]
	holder := struct{ T Token }{token}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", token, token, token, token, token, token, token),
		fmt.Sprintf("%v %+v %#v", holder, &holder, holder), string(asJSON)} {
		if strings.Contains(shown, text) || strings.Contains(shown, fmt.Sprintf("%x", token.Secret[:])) || strings.Contains(shown, fmt.Sprintf("%d", token.Secret[:])[1:20]) {
			t.Errorf("the secret is in %q", shown)
		}
		if !strings.Contains(shown, token.ID) {
			t.Errorf("no id in %q", shown)
		}
	}
}
