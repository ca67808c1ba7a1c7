package reader

import "strings"

// The names of documents and of their files. They are those of the node; a test
// compares the two implementations.
const (
	maxSlug = 63 // bytes
	maxName = 80 // bytes of a client id or the name of a scope
)

// isSlug tells what can be the slug of a tenant, or "global", so that no name
// from a URL becomes a path of its own.
func isSlug(s string) bool {
	if s == "" || len(s) > maxSlug || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

const upperHex = "0123456789ABCDEF"

// escape makes a file name of a document's name: everything outside
// [a-z0-9._-], and a dot at the start, is %XX.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// unescape is the inverse of escape, and refuses what escape does not make.
func unescape(file string) (string, bool) {
	var name []byte
	for i := 0; i < len(file); i++ {
		c := file[i]
		if c == '%' {
			if i+2 >= len(file) {
				return "", false
			}
			hi, lo := strings.IndexByte(upperHex, file[i+1]), strings.IndexByte(upperHex, file[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c, i = byte(hi<<4|lo), i+2
		}
		name = append(name, c)
	}
	s := string(name)
	return s, isName(s) && escape(s) == file
}

// isName tells what fits into a file name.
func isName(s string) bool { return s != "" && len(s) <= maxName }
