package cmd

import (
	"io"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// ui draws with the sixteen colours of the user's theme, or without. A colour
// never says what the text does not.
type ui struct{ r *lipgloss.Renderer }

// colored decides whether a stream gets colour: --color and CPCTL_COLOR, then
// NO_COLOR (https://no-color.org), CLICOLOR_FORCE, and then only a terminal
// that can and that is not the log of a CI run.
func (e *Env) colored(terminal bool) bool {
	switch {
	case e.flags.color == "always":
		return true
	case e.flags.color == "never", e.getenv("NO_COLOR") != "":
		return false
	case e.getenv("CLICOLOR_FORCE") != "" && e.getenv("CLICOLOR_FORCE") != "0":
		return true
	}
	return terminal && e.getenv("TERM") != "dumb" && e.getenv("CI") == "" && e.getenv("CLICOLOR") != "0"
}

func (e *Env) ui() ui {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetHasDarkBackground(true) // else it would ask the terminal and wait
	r.SetColorProfile(termenv.Ascii)
	if e.colored(e.OutTerminal) {
		r.SetColorProfile(termenv.ANSI)
	}
	return ui{r}
}

// The colours, of the sixteen.
const (
	red    = "1"
	green  = "2"
	yellow = "3"
	gray   = "8"
)

func (u ui) in(color, s string) string {
	return u.r.NewStyle().Foreground(lipgloss.Color(color)).Render(s)
}

// state marks the state of a node with a sign and a colour.
func (u ui) state(s string) string {
	switch s {
	case "alive":
		return u.in(green, "● alive")
	case "lost":
		return u.in(red, "✗ lost")
	case "-":
		return s
	}
	return u.in(yellow, "! "+s)
}

// change marks a line of a difference by its sign.
func (u ui) change(sign, text string) string {
	color := map[string]string{"+": green, "-": red, "~": yellow}[sign]
	if color == "" {
		return sign + " " + text
	}
	return u.in(color, sign+" "+text)
}

// panel is a box with a title and lines.
type panel struct {
	title string
	lines []pair
}

// boxes draws panels of one width: side by side and of one height, or one below
// the other where the terminal has fewer columns than that takes (0: not known).
func (u ui) boxes(columns int, panels ...panel) string {
	width, height := 0, 0
	bodies := make([]string, len(panels))
	for i, p := range panels {
		bodies[i] = u.r.NewStyle().Bold(true).Render(p.title) + "\n" + trimNewline(aligned(p.lines))
		width, height = max(width, lipgloss.Width(bodies[i])), max(height, lipgloss.Height(bodies[i]))
	}
	frame := u.r.NewStyle().Border(lipgloss.RoundedBorder()).BorderForeground(lipgloss.Color(gray)).
		Padding(0, 1).Width(width + 2)
	beside := frame.Height(height)
	var row, column []string
	for i, body := range bodies {
		if i > 0 {
			row = append(row, " ")
		}
		row, column = append(row, beside.Render(body)), append(column, frame.Render(body))
	}
	drawn := lipgloss.JoinHorizontal(lipgloss.Top, row...)
	if columns > 0 && lipgloss.Width(drawn) > columns {
		drawn = lipgloss.JoinVertical(lipgloss.Left, column...)
	}
	return drawn + "\n"
}

func trimNewline(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		return s[:n-1]
	}
	return s
}
