package store

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURI bounds every URI of a document, in bytes.
const maxURI = 2048

var (
	// A private-use scheme is a domain name in reverse (RFC 8252 section 7.1).
	// The dot keeps out javascript:, data:, file: and every registered scheme
	// that means something to a browser.
	privateScheme = lazily(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)
	hostChars     = charsOf(lower + upper + digits + "_-")
	allDigits     = lazily(`^(?:[0-9]+|0[xX][0-9A-Fa-f]*)$`)
)

// usualURI recognizes what most URIs of clients are, "https://" with a name of letters in
// lower case, digits, dots and dashes as the host, and a path of unreserved characters
// or none, which it returns. Every rule accepts those (an origin: without a path), and
// taking them apart takes ten times as long.
func usualURI(s string) (path string, ok bool) {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok || len(s) > maxURI {
		return "", false
	}
	host := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	for i := range len(path) {
		if c := path[i]; c != '/' && !clientIDChars[c] { // the unreserved ones
			return "", false
		}
	}
	if len(host) > 253 {
		return "", false
	}
	for more := true; more; {
		var label string
		if label, host, more = strings.Cut(host, "."); !slugChars.holds(label, 63) || dashed(label) {
			return "", false
		}
		if !more && label[0] <= '9' { // it may be a number, and the host an address
			return "", false
		}
	}
	return path, true
}

// parseURI reads an absolute URI and refuses what two parsers could read in two
// ways: characters outside RFC 3986, user information, a scheme not in lower
// case, an odd host or port. What it lets pass can be judged by its parts.
func parseURI(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("is empty")
	}
	if len(s) > maxURI {
		return nil, fmt.Errorf("is %d bytes long; at most %d are allowed", len(s), maxURI)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return nil, fmt.Errorf("has the character %q, which a URI must percent-encode", s[i:i+1])
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URI")
	}
	switch {
	case u.Scheme == "":
		return nil, errors.New("must be absolute, with a scheme such as https")
	case !strings.HasPrefix(s, u.Scheme+":"):
		return nil, errors.New("must have its scheme in lower case")
	case u.User != nil:
		return nil, errors.New("must not have user information before the host")
	}
	return u, checkAuthority(u)
}

// checkAuthority judges host and port. No host is left to the caller.
func checkAuthority(u *url.URL) error {
	if u.Host == "" {
		return nil
	}
	host, port := u.Hostname(), u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return errors.New("has a colon but no port")
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return errors.New("must have a port from 1 to 65535")
	}
	if strings.HasPrefix(u.Host, "[") {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() || ip.Zone() != "" {
			return fmt.Errorf("host %s is not an IPv6 address", quote(host))
		}
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return nil
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !hostChars.holds(label, 63) || dashed(label) {
			return fmt.Errorf("host %s is not a domain name or address", quote(host))
		}
	}
	// Browsers read a name that ends in a number as an IPv4 address (127.1).
	if len(host) > 253 || allDigits().MatchString(labels[len(labels)-1]) {
		return fmt.Errorf("host %s is not a domain name or address", quote(host))
	}
	return nil
}

// isLoopback is true of exactly three hosts, as they are written (RFC 8252
// sections 7.3 and 8.3); a name that merely begins like one is another host.
func isLoopback(u *url.URL) bool {
	host := strings.TrimSuffix(u.Host, ":"+u.Port())
	return host == "127.0.0.1" || host == "localhost" || host == "[::1]"
}

// checkHTTP wants https, or http on the loopback interface, with a host.
func checkHTTP(u *url.URL) error {
	switch {
	case u.Scheme == "http" && u.Host != "" && !isLoopback(u):
		return errors.New("must be https; http is for 127.0.0.1, [::1] and localhost only")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be https")
	case u.Host == "":
		return errors.New("must have a host")
	}
	return nil
}

// CheckRedirectURI refuses what a client of that application type ("web" or
// "native") cannot have as a redirect URI: RFC 6749 section 3.1.2 (absolute, no
// fragment), RFC 8252 section 7 (loopback, private-use schemes), no wildcard.
func CheckRedirectURI(applicationType, s string) error {
	if _, usual := usualURI(s); usual {
		return nil
	}
	u, err := parseURI(s)
	switch {
	case err != nil:
		return err
	case strings.Contains(s, "#"): // url.Parse forgets an empty fragment
		return errors.New("must not have a fragment")
	case strings.Contains(s, "*"):
		return errors.New("must not have a wildcard")
	case u.Scheme == "http" || u.Scheme == "https":
		return checkHTTP(u)
	case applicationType != "native":
		return errors.New("must be https, or http on 127.0.0.1, [::1] or localhost")
	case !privateScheme().MatchString(u.Scheme):
		return errors.New("must be https, http on a loopback host, or a private-use scheme with a dot, such as com.example.app:/cb")
	case u.Opaque != "" || u.Host == "" && !strings.HasPrefix(u.Path, "/"):
		return errors.New("must have a path after its scheme, such as com.example.app:/cb")
	}
	return nil
}

// checkPage judges the address of a page, picture or key set: https, or http
// on a loopback host, no fragment; empty when there is none.
func checkPage(s string) error {
	if _, usual := usualURI(s); usual || s == "" {
		return nil
	}
	u, err := parseURI(s)
	switch {
	case err != nil:
		return err
	case strings.Contains(s, "#"):
		return errors.New("must not have a fragment")
	}
	return checkHTTP(u)
}

// checkIssuer judges an issuer identifier (RFC 8414 section 2). It is compared
// byte for byte, so that host and port have one spelling only.
func checkIssuer(s string) error {
	if s == "" {
		return nil
	}
	u, err := parseURI(s)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https":
		return errors.New("must be https")
	case u.Host == "":
		return errors.New("must have a host")
	case strings.Contains(s, "?"):
		return errors.New("must not have a query")
	case strings.Contains(s, "#"):
		return errors.New("must not have a fragment")
	case u.Host != strings.ToLower(u.Host):
		return errors.New("must have its host in lower case")
	case u.Port() == "443":
		return errors.New("must leave out the port 443")
	}
	return nil
}

// checkOrigin judges an origin as browsers send it (RFC 6454 section 6.2):
// scheme, host and port, in lower case, the scheme's own port left out. Any
// other spelling would never match.
func checkOrigin(s string) error {
	if path, usual := usualURI(s); usual && path == "" {
		return nil
	}
	u, err := parseURI(s)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be http or https")
	case u.Host == "":
		return errors.New("must have a host")
	case s != u.Scheme+"://"+u.Host:
		return errors.New("must be scheme, host and port with nothing after them, not even a slash")
	case u.Host != strings.ToLower(u.Host):
		return errors.New("must have its host in lower case")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		return fmt.Errorf("must leave out the port %s", u.Port())
	}
	return nil
}
