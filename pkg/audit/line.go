package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Line is one line as it stands in a file: the members always all there, in this
// order.
type Line struct {
	Seq       uint64    `json:"seq"` // one more with each line, across files
	Time      time.Time `json:"time"`
	Node      string    `json:"node"` // that authenticated the actor
	Actor     string    `json:"actor"`
	Serial    string    `json:"serial"`
	Source    string    `json:"source"`
	RequestID string    `json:"request_id"`
	Type      string    `json:"type"`
	Target    string    `json:"target"`
	Index     uint64    `json:"index"`
	Revision  uint64    `json:"revision"`
	Result    string    `json:"result"`
	Message   string    `json:"message"`
	Prev      string    `json:"prev"` // hash of the line before; none in the first of all
	Hash      string    `json:"hash"` // SHA-256 of this line without this member and the newline
}

// Limits of what callers give, in bytes; longer ones are cut, with an ellipsis.
// Names have shorter limits of their own, but a refused request may bear any.
const (
	maxShort   = 64  // request ids, types, results, serials, node names: 64 are allowed
	maxActor   = 192 // role, a name of 64, a tenant of 63
	maxTarget  = 384 // kind, a tenant of 63, a name of 255
	maxMessage = 256
	maxLine    = 64 << 10 // far beyond what the limits allow; what is longer is no line
)

const (
	timeForm = "2006-01-02T15:04:05.000000Z"
	hashLen  = 2 * sha256.Size
	sealLen  = len(`,"hash":"`) + hashLen + len(`"}`)
)

// appendLine appends a line with its newline, and returns its hash.
func appendLine(b []byte, seq uint64, at time.Time, node string, e Event, prev string) ([]byte, string) {
	start := len(b)
	text := func(name, s string, most int) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = appendQuoted(b, s, most)
	}
	number := func(name string, n uint64) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = strconv.AppendUint(b, n, 10)
	}
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"time":"`...)
	b = at.UTC().AppendFormat(b, timeForm)
	b = append(b, '"')
	text("node", node, maxShort)
	text("actor", e.Actor, maxActor)
	text("serial", e.Serial, maxShort)
	text("source", e.Source, maxShort)
	text("request_id", e.RequestID, maxShort)
	text("type", e.Type, maxShort)
	text("target", e.Target, maxTarget)
	number("index", e.Index)
	number("revision", e.Revision)
	text("result", e.Result, maxShort)
	text("message", e.Message, maxMessage)
	text("prev", prev, hashLen)
	b = append(b, '}')
	sum := sha256.Sum256(b[start:])
	hash := hex.EncodeToString(sum[:])
	b = append(b[:len(b)-1], `,"hash":"`...)
	b = append(b, hash...)
	return append(b, "\"}\n"...), hash
}

const ellipsis = "…"

// appendQuoted appends a JSON string of at most so many bytes of s. What commands
// a terminal is escaped, so that a file can be looked at as it is.
func appendQuoted(b []byte, s string, most int) []byte {
	if len(s) > most {
		s = s[:most-len(ellipsis)]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf { // the first byte of a character that was cut
			s = s[:len(s)-1]
		}
		s += ellipsis
	}
	b = append(b, '"')
	for _, r := range s { // invalid bytes arrive as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case !unicode.IsPrint(r):
			if r > 0xffff {
				r = utf8.RuneError // a surrogate pair for what cannot be seen is not worth its lines
			}
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// The faults of a line.
var (
	errNoLine = errors.New("it is no line of this log")
	errHash   = errors.New("it was changed: its hash does not match")
)

// readLine reads a line, without its newline, and checks its own hash.
func readLine(b []byte) (*Line, error) {
	var l Line
	if len(b) < sealLen || json.Unmarshal(b, &l) != nil || l.Seq == 0 {
		return nil, errNoLine
	}
	body := len(b) - sealLen
	if !bytes.HasPrefix(b[body:], []byte(`,"hash":"`)) || !bytes.HasSuffix(b, []byte(`"}`)) {
		return nil, errNoLine
	}
	h := sha256.New()
	h.Write(b[:body])
	h.Write([]byte("}"))
	if hex.EncodeToString(h.Sum(nil)) != l.Hash {
		return nil, errHash
	}
	return &l, nil
}
