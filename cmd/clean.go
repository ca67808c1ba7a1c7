package cmd

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// commanding reports whether a character does something to a terminal other
// than stand there: controls (C0, DEL, C1), line separators, and the marks that
// turn the direction of the text around them.
func commanding(r rune) bool {
	switch {
	case unicode.IsControl(r),
		r == 0x061c, r == 0x200e, r == 0x200f, r == 0x2028, r == 0x2029,
		r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// clean makes text from elsewhere fit for one line of a terminal: what commands
// it, and what is no UTF-8, becomes U+FFFD.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if commanding(r) {
			return utf8.RuneError
		}
		return r // invalid bytes arrive as U+FFFD already
	}, s)
}

// escapeControls escapes in JSON what commands a terminal and may stand
// unescaped there (RFC 8259 section 7 asks for the C0 controls only). Outside
// of strings JSON has no such characters but the newline.
func escapeControls(doc []byte) []byte {
	if bytes.IndexFunc(doc, func(r rune) bool { return r != '\n' && commanding(r) }) < 0 {
		return doc
	}
	var b bytes.Buffer
	for _, r := range string(doc) {
		if r != '\n' && commanding(r) {
			fmt.Fprintf(&b, `\u%04x`, r) // all of them are below U+10000
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}
