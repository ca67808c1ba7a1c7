package cmd

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cpctl/cpctl/pkg/audit"
)

// auditTable prints lines as they come. Its columns are as wide as the widest
// cell so far: rows are held back until there are enough of them for the first
// widths to be good ones.
type auditTable struct {
	env    *Env
	lines  int
	rows   [][]string
	widths []int
	headed bool
}

// heldRows is how many.
const heldRows = 500

var (
	auditTitles = []string{"TIME", "NODE", "ACTOR", "TYPE", "TARGET", "RESULT"}
	auditMore   = []string{"INDEX", "REQUEST", "SOURCE", "SERIAL", "MESSAGE"} // on wide
)

// add takes one line of a log.
func (t *auditTable) add(line string) error {
	t.lines++
	e := t.env
	if e.flags.output == formatJSON {
		_, err := e.Out.Write(escapeControls([]byte(line + "\n")))
		return err
	}
	if e.flags.output == formatYAML {
		return e.document(json.RawMessage(line))
	}
	var l audit.Line
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		return err
	}
	if e.flags.output == formatName {
		if l.Target == "" { // what a line such as that of a start is about has no name
			return nil
		}
		return e.line(l.Target)
	}
	row := []string{l.Time.UTC().Format(time.RFC3339), l.Node, l.Actor, l.Type, l.Target, l.Result}
	if e.flags.output == formatWide {
		row[0] = l.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
		row = append(row, strconv.FormatUint(l.Index, 10), l.RequestID, l.Source, l.Serial, l.Message)
	}
	if t.rows = append(t.rows, row); len(t.rows) >= heldRows {
		return t.flush()
	}
	return nil
}

// flush prints what was held back.
func (t *auditTable) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	titles := auditTitles
	if t.env.flags.output == formatWide {
		titles = append(append([]string{}, titles...), auditMore...)
	}
	if !t.headed && !t.env.flags.noHeaders {
		t.rows = append([][]string{titles}, t.rows...)
	}
	t.headed = true
	if t.widths == nil {
		t.widths = make([]int, len(titles))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if row[i] = clean(cell); row[i] == "" {
				row[i] = "-"
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)) + gap)
			}
		}
		b.WriteByte('\n')
	}
	t.rows = nil
	_, err := t.env.Out.Write([]byte(b.String()))
	return err
}
