package store

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzURIs holds the rules of URIs to a second reading of them, which takes the
// text apart by its characters as a browser might: what is accepted has the host
// that it seems to have, and plain http stays on this machine.
func FuzzURIs(f *testing.F) {
	for _, s := range []string{"https://app.acme.example/cb", "http://127.0.0.1:8080/cb", "http://[::1]/", "http://localhost", "com.example.app:/cb", "com.example.app://x/cb",
		"http://localhost.attacker.example/", "http://localhost@evil.example/", "http://127.1/", "http://127.0.0.1.evil.example:80", "http://[::1]evil/", "http://LOCALHOST/",
		"https://a%2eb/", "https://a/%zz", "http:localhost", "http:///localhost", "http://localhost:/", "https://x:65536", `https://a\@b`, "https://[fe80::1%25eth0]/", "javascript:alert(1)", "https://a?b#", "//a/b", "https://app.example@evil.example/cb", "https://app.example:443@evil.example/", `https://evil.example\.app.example/`, "https://[::1", "com.example.app:opaque", "HTTP://localhost/", "https://a.b-c.example/x/y.z~", "https://1.2", "https://a.1", "https://a.0x1/", "https://-a", "https://a..b", "https://a.b.", "https://3com.example/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if path, usual := usualURI(s); usual {
			if u, err := parseURI(s); err != nil || checkHTTP(u) != nil || u.Path != path || s != "https://"+u.Host+path || u.Host != strings.ToLower(u.Host) || u.Port() != "" {
				t.Fatalf("%q is taken to be usual, with the path %q; net/url says %+v, %v", s, path, u, err)
			}
		}
		for _, c := range []struct {
			rule string
			err  error
		}{
			{"redirect URI of a web client", CheckRedirectURI("web", s)}, {"redirect URI of a native client", CheckRedirectURI("native", s)},
			{"page", checkPage(s)}, {"issuer", checkIssuer(s)}, {"origin", checkOrigin(s)},
		} {
			if c.err == nil && s != "" {
				plain(t, c.rule, s)
			}
			if c.err == nil && c.rule == "issuer" && s != "" && !strings.HasPrefix(s, "https://") {
				t.Fatalf("accepted as an issuer: %q", s)
			}
		}
	})
}

// plain fails for a URI that could be read in two ways or leaves this machine in clear.
func plain(t *testing.T, rule, s string) {
	t.Helper()
	scheme, rest, _ := strings.Cut(s, ":")
	authority := ""
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		authority = after
		if i := strings.IndexAny(after, `/?#\`); i >= 0 {
			authority = after[:i]
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != scheme || u.Host != authority || u.User != nil {
		t.Fatalf("accepted as a %s: %q, of which net/url says %+v, %v", rule, s, u, err)
	}
	if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host || again.Scheme != u.Scheme {
		t.Fatalf("accepted as a %s: %q, which is another one when net/url writes it: %q", rule, s, u)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) || strings.Contains(authority, "@") || strings.Contains(authority, "%") {
		t.Fatalf("accepted as a %s: %q", rule, s)
	}
	host := authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host = authority[:i]
		if port, err := strconv.Atoi(authority[i+1:]); err != nil || port < 1 || port > 65535 {
			t.Fatalf("accepted as a %s: %q with the port %q", rule, s, authority[i+1:])
		}
	}
	switch loopback := slices.Contains([]string{"127.0.0.1", "localhost", "[::1]"}, host); {
	case scheme == "https" && host != "":
	case scheme == "http" && (loopback || rule == "origin" && host != ""): // an origin is compared, nothing is sent to it
	case rule == "redirect URI of a native client" && strings.Contains(scheme, ".") && scheme == strings.ToLower(scheme):
	default:
		t.Fatalf("accepted as a %s: %q with the host %q", rule, s, host)
	}
}
