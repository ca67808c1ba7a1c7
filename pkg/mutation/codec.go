package mutation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// entryVersion is the first byte of a log entry. Every version that was ever
// released decodes for ever; testdata holds one of each.
const entryVersion = 1

// Limits of what one log entry may hold. Raft suggests at most 512 KiB an
// entry, since a larger one delays its heartbeats.
const (
	MaxCommand   = 256 << 10 // bytes of one encoded command
	MaxEntry     = 512 << 10 // bytes of one encoded entry
	MaxBatch     = 256       // commands of one entry
	maxMutations = 1024      // of one command
)

// ErrUnreadable is the error for an entry that this build cannot read: from a
// newer one, or damaged. A node stops at it; skipping it would be divergence.
var ErrUnreadable = errors.New("unreadable log entry")

// AppendCommand appends the encoding of one command.
func AppendCommand(b []byte, c *Command) []byte {
	b = appendString(b, c.ID)
	b = append(b, c.Digest[:]...)
	b = appendString(b, c.Op)
	b = appendString(b, c.Actor)
	b = binary.AppendUvarint(b, uint64(c.Time))
	b = binary.AppendUvarint(b, uint64(c.Asked))
	b = binary.AppendUvarint(b, uint64(c.Level))
	b = binary.AppendUvarint(b, uint64(len(c.Mutations)))
	for i := range c.Mutations {
		m := &c.Mutations[i]
		b = appendString(b, string(m.Kind))
		b = appendString(b, m.Tenant)
		b = appendString(b, m.Name)
		b = binary.AppendUvarint(b, m.Base)
		b = append(b, byte(m.Flags))
		b = binary.AppendUvarint(b, uint64(len(m.Payload)))
		b = append(b, m.Payload...)
	}
	return b
}

// EncodeEntry joins encoded commands to one log entry.
func EncodeEntry(commands [][]byte) []byte {
	size := 8
	for _, c := range commands {
		size += len(c)
	}
	b := append(make([]byte, 0, size), entryVersion)
	b = binary.AppendUvarint(b, uint64(len(commands)))
	for _, c := range commands {
		b = append(b, c...)
	}
	return b
}

// Readable checks that one encoded command is what DecodeEntry will accept. The
// leader asks before it proposes.
func Readable(command []byte) error {
	d := decoder{b: command}
	d.command()
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes after the command", len(d.b))
	}
	return d.err
}

// DecodeEntry reads one log entry. Its errors are ErrUnreadable and say what is
// newer or wrong. The commands share the memory of the entry.
func DecodeEntry(entry []byte) ([]Command, error) {
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrUnreadable, len(entry), MaxEntry)
	}
	if len(entry) == 0 || entry[0] != entryVersion {
		return nil, fmt.Errorf("%w: version %d, this build reads up to version %d", ErrUnreadable, first(entry), entryVersion)
	}
	d := decoder{b: entry[1:]}
	n := d.count(MaxBatch)
	commands := make([]Command, 0, n)
	for range n {
		commands = append(commands, d.command())
		if d.err != nil {
			break
		}
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes after the last command", len(d.b))
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, d.err)
	}
	return commands, nil
}

func first(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return int(b[0])
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads the parts of an entry; after the first fault it reads nothing.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) command() Command {
	var c Command
	c.ID = d.string(64)
	copy(c.Digest[:], d.bytes(len(c.Digest)))
	c.Op = d.string(64)
	c.Actor = d.string(256)
	c.Time = store.Time(d.uvarint())
	c.Asked = store.Time(d.uvarint())
	level := d.uvarint()
	if d.err == nil && (level == 0 || level > uint64(Level)) {
		d.fail("level %d, this build knows levels up to %d", level, Level)
	}
	c.Level = uint32(level)
	n := d.count(maxMutations)
	for range n {
		if d.err != nil {
			break
		}
		var m Mutation
		m.Kind = Kind(d.string(64))
		if d.err == nil && !kinds[m.Kind] {
			d.fail("unknown type of mutation %q", m.Kind)
		}
		m.Tenant = d.string(64)
		m.Name = d.string(256)
		m.Base = d.uvarint()
		m.Flags = Flags(d.byte())
		if d.err == nil && m.Flags&^(Replace|Detach|Expected) != 0 {
			d.fail("unknown flags %#x", m.Flags)
		}
		if size := d.count(MaxCommand); size > 0 {
			m.Payload = d.bytes(size)
		}
		if d.err == nil && systemPayload(m.Kind) != nil {
			v, err := m.System()
			if err != nil {
				d.fail("payload of %s: %v", m.Kind, err)
			}
			if s, ok := v.(*Succession); ok && !slices.Contains(caSteps, s.Step) {
				d.fail("a step %q of sys.ca, which this build does not know", s.Step)
			}
			if r, ok := v.(*Rekey); ok && !slices.Contains(rekeySteps, r.Step) {
				d.fail("a step %q of sys.rekey, which this build does not know", r.Step)
			}
			if r, ok := v.(*Raise); ok && r.Level > Level {
				d.fail("it raises the level to %d, this build knows levels up to %d", r.Level, Level)
			}
		}
		c.Mutations = append(c.Mutations, m)
	}
	return c
}

// uvarint reads a number in its shortest form, so that an entry has one encoding.
func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail("a number is cut short or not in its shortest form")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) count(limit int) int {
	v := d.uvarint()
	if v > uint64(limit) {
		d.fail("a count of %d, at most %d is allowed", v, limit)
		return 0
	}
	return int(v)
}

func (d *decoder) byte() byte {
	b := d.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.fail("cut short: %d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) string(limit int) string { return string(d.bytes(d.count(limit))) }
