package cmd

import (
	"bytes"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// table is rows for people. A title that ends in ">" heads a column of
// numbers, which stand to the right.
type table struct {
	titles []string
	rows   [][]string
	paint  map[int]func(string) string // colours of a column, after cleaning
}

// table prints rows with three spaces between columns, no borders and no
// wrapping, whatever the width of the terminal.
func (e *Env) table(t table) error {
	align := make([]tw.Align, len(t.titles))
	header := make([]string, len(t.titles))
	for i, title := range t.titles {
		align[i] = tw.AlignLeft
		if strings.HasSuffix(title, ">") {
			align[i] = tw.AlignRight
		}
		header[i] = strings.TrimSuffix(title, ">")
	}
	var b bytes.Buffer
	w := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Symbols: tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone}})),
		tablewriter.WithPadding(tw.Padding{Right: gap, Overwrite: true}),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{Global: tw.AlignLeft, PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{Global: tw.AlignLeft, PerColumn: align}))
	if !e.flags.noHeaders {
		w.Header(header)
	}
	for _, row := range t.rows {
		if err := w.Append(t.cells(row)); err != nil { // keeps the slice it is given
			return err
		}
	}
	if err := w.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) { // every line ends in padding
		if _, err := e.Out.Write([]byte(strings.TrimRight(line, " \n") + "\n")); err != nil {
			return err
		}
	}
	return nil
}

const gap = "   "

func (t table) cells(row []string) []string {
	cells := make([]string, len(row))
	for i, cell := range row {
		if cell = clean(cell); cell == "" {
			cell = "-"
		}
		if paint := t.paint[i]; paint != nil {
			cell = paint(cell)
		}
		cells[i] = cell
	}
	return cells
}
