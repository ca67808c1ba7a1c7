package store

import (
	"strings"
	"testing"
)

func TestRedirectURIs(t *testing.T) {
	const web, native = true, true
	for _, c := range []struct {
		uri         string
		web, native bool // accepted for this application type
	}{
		{"https://app.acme.example/cb", web, native},
		{"https://app.acme.example", web, native},
		{"https://app.acme.example:8443/cb?x=1", web, native},
		{"https://app.acme.example/cb%20x", web, native},
		{"https://[2001:db8::1]/cb", web, native},
		{"https://192.0.2.7/cb", web, native},
		{"https://xn--bcher-kva.example/cb", web, native},
		{"http://127.0.0.1/cb", web, native},
		{"http://127.0.0.1:49152/cb", web, native},
		{"http://[::1]:8080/cb", web, native},
		{"http://[::1]/cb", web, native},
		{"http://localhost:3000/cb", web, native},
		{"http://localhost", web, native},
		{"com.example.app:/cb", !web, native},
		{"com.example.app://cb", !web, native},
		{"com.example.app:///cb", !web, native},
		{"https://" + strings.Repeat("a", 60) + ".example/" + strings.Repeat("p", 2048-77), web, native}, // 2,048 bytes

		{"", false, false},
		{"/cb", false, false},
		{"//app.example/cb", false, false},
		{"app.example/cb", false, false},
		{"https:", false, false},
		{"https:/cb", false, false},
		{"https:///cb", false, false},
		{"https:app.example", false, false},
		{"https://" + strings.Repeat("a", 60) + ".example/" + strings.Repeat("p", 2049-77), false, false}, // 2,049 bytes
		{"http://app.example/cb", false, false},
		{"http://localhost.attacker.example/cb", false, false},
		{"http://localhost@evil.example/cb", false, false},
		{"http://localhost:80@evil.example/cb", false, false},
		{"http://evil.example#@localhost/cb", false, false},
		{"http://evil.example\\@localhost/cb", false, false},
		{"http://127.0.0.1.evil.example/cb", false, false},
		{"http://127.0.0.1.evil/cb", false, false},
		{"http://127.0.0.2/cb", false, false},
		{"http://127.1/cb", false, false},
		{"http://2130706433/cb", false, false},
		{"http://0x7f000001/cb", false, false},
		{"http://0177.0.0.1/cb", false, false},
		{"http://0.0.0.0/cb", false, false},
		{"http://LOCALHOST/cb", false, false},
		{"http://localhost./cb", false, false},
		{"http://[::1].evil.example/cb", false, false},
		{"http://[::ffff:127.0.0.1]/cb", false, false},
		{"http://[0:0:0:0:0:0:0:1]/cb", false, false},
		{"http://[::1%25lo]/cb", false, false},
		{"https://127.1/cb", false, false},
		{"https://0x7f.1/cb", false, false},
		{"https://user@app.example/cb", false, false},
		{"https://user:pw@app.example/cb", false, false},
		{"https://@app.example/cb", false, false},
		{"https://*.acme.example/cb", false, false},
		{"https://app.acme.example/*", false, false},
		{"https://app.acme.example/cb#x", false, false},
		{"https://app.acme.example/cb#", false, false},
		{"https://app.acme.example\\cb", false, false},
		{"https://app.acme.example/a b", false, false},
		{" https://app.acme.example/cb", false, false},
		{"https://app.acme.example/cb\n", false, false},
		{"https://app.acme.example/\x00", false, false},
		{"java\tscript:alert(1)", false, false},
		{"https://app.acme.example/ñ", false, false},
		{"https://bücher.example/cb", false, false},
		{"https://app.acme.example/%zz", false, false},
		{"https://app.%61cme.example/cb", false, false},
		{"https://-app.example/cb", false, false},
		{"https://app..example/cb", false, false},
		{"https://app.acme.example:/cb", false, false},
		{"https://app.acme.example:0/cb", false, false},
		{"https://app.acme.example:65536/cb", false, false},
		{"https://app.acme.example:https/cb", false, false},
		{"HTTPS://app.acme.example/cb", false, false},
		{"Http://localhost/cb", false, false},
		{"javascript:alert(1)", false, false},
		{"JavaScript:alert(1)", false, false},
		{"data:text/html,x", false, false},
		{"file:///etc/passwd", false, false},
		{"urn:ietf:wg:oauth:2.0:oob", false, false},
		{"myapp:/cb", false, false},
		{"myapp.:/cb", false, false},
		{"Com.Example.App:/cb", false, false},
		{"com.example.app:", false, false},
		{"com.example.app:cb", false, false},
		{"com.example.app:/cb#x", false, false},
		{"com.example.app://user@host/cb", false, false},
		{"com.example.app:/*", false, false},
	} {
		for _, kind := range []struct {
			name string
			ok   bool
		}{{"web", c.web}, {"native", c.native}} {
			if err := CheckRedirectURI(kind.name, c.uri); (err == nil) != kind.ok {
				t.Errorf("%s client, %.80q: err = %v, want accepted = %v", kind.name, c.uri, err, kind.ok)
			}
		}
	}
}

func TestOtherURIs(t *testing.T) {
	for _, c := range []struct {
		what  string
		check func(string) error
		uri   string
		ok    bool
	}{
		{"issuer", checkIssuer, "", true},
		{"issuer", checkIssuer, "https://id.example.com", true},
		{"issuer", checkIssuer, "https://id.example.com/t/acme", true},
		{"issuer", checkIssuer, "https://id.example.com:8443/t/acme/", true},
		{"issuer", checkIssuer, "http://id.example.com", false},
		{"issuer", checkIssuer, "http://localhost", false},
		{"issuer", checkIssuer, "https://id.example.com?x=1", false},
		{"issuer", checkIssuer, "https://id.example.com?", false},
		{"issuer", checkIssuer, "https://id.example.com#x", false},
		{"issuer", checkIssuer, "https://id.example.com#", false},
		{"issuer", checkIssuer, "https://user@id.example.com", false},
		{"issuer", checkIssuer, "https://ID.example.com", false},
		{"issuer", checkIssuer, "https://id.example.com:443", false},
		{"issuer", checkIssuer, "https:///t/acme", false},
		{"issuer", checkIssuer, "id.example.com", false},

		{"page", checkPage, "", true},
		{"page", checkPage, "https://acme.example/logo.png?v=2", true},
		{"page", checkPage, "http://localhost:8000/logo.png", true},
		{"page", checkPage, "http://acme.example/logo.png", false},
		{"page", checkPage, "https://acme.example/#x", false},
		{"page", checkPage, "javascript:alert(1)", false},
		{"page", checkPage, "data:image/png;base64,AA", false},

		{"origin", checkOrigin, "https://app.acme.example", true},
		{"origin", checkOrigin, "https://app.acme.example:8443", true},
		{"origin", checkOrigin, "http://localhost:3000", true},
		{"origin", checkOrigin, "http://intranet.example", true},
		{"origin", checkOrigin, "https://[::1]:8443", true},
		{"origin", checkOrigin, "", false},
		{"origin", checkOrigin, "*", false},
		{"origin", checkOrigin, "null", false},
		{"origin", checkOrigin, "https://*.acme.example", false},
		{"origin", checkOrigin, "https://app.acme.example/", false},
		{"origin", checkOrigin, "https://app.acme.example/x", false},
		{"origin", checkOrigin, "https://app.acme.example?x", false},
		{"origin", checkOrigin, "https://app.acme.example?", false},
		{"origin", checkOrigin, "https://app.acme.example#", false},
		{"origin", checkOrigin, "https://user@app.acme.example", false},
		{"origin", checkOrigin, "https://App.acme.example", false},
		{"origin", checkOrigin, "https://app.acme.example:443", false},
		{"origin", checkOrigin, "http://app.acme.example:80", false},
		{"origin", checkOrigin, "ftp://app.acme.example", false},
		{"origin", checkOrigin, "app.acme.example", false},
	} {
		if err := c.check(c.uri); (err == nil) != c.ok {
			t.Errorf("%s %q: err = %v, want accepted = %v", c.what, c.uri, err, c.ok)
		}
	}
}
