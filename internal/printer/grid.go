package printer

import (
	"io"
	"strings"
)

// grid is a table that is written at once, and fits a terminal as well as it can.
type grid struct {
	cols []gridColumn
	rows [][]string
	// paint colours a cell that has its final length; nil colours nothing.
	paint func(row, col int, cell string) string
}

// gridColumn is a column of a grid.
type gridColumn struct {
	head string
	// right puts numbers below each other.
	right bool
	// least is how far a column may be cut where the terminal is too narrow; 0 means not at all.
	least int
	// drop orders the columns that are left out of a terminal that is still too narrow, the
	// lowest first; 0 means never.
	drop int
}

// wideGap and narrowGap are the blanks between columns.
const wideGap, narrowGap = 2, 1

// write writes the head and the rows. Width is that of the terminal; 0 means that nothing is
// cut and nothing left out.
func (g *grid) write(w io.Writer, width int) error {
	_, err := io.WriteString(w, strings.Join(g.lines(width), "\n")+"\n")
	return err
}

// lines returns the head and the rows.
func (g *grid) lines(width int) []string {
	for _, row := range g.rows {
		for i := range row {
			row[i] = Escape(row[i])
		}
	}
	shown := make([]int, len(g.cols))
	for i := range shown {
		shown[i] = i
	}
	widths, gap := g.fit(shown, width)
	for width > 0 && total(widths, gap) > width {
		at := -1
		for i, c := range shown {
			if d := g.cols[c].drop; d > 0 && (at < 0 || d < g.cols[shown[at]].drop) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		shown = append(shown[:at:at], shown[at+1:]...)
		widths, gap = g.fit(shown, width)
	}
	out := []string{g.line(-1, shown, widths, gap)}
	for n := range g.rows {
		out = append(out, g.line(n, shown, widths, gap))
	}
	return out
}

// fit returns how wide the columns are, and the blanks between them: as they would be, or
// cut where that does not fit, the widest first.
func (g *grid) fit(shown []int, width int) (widths []int, gap int) {
	widths = make([]int, len(shown))
	for i, c := range shown {
		widths[i] = Columns(g.cols[c].head)
		for _, row := range g.rows {
			widths[i] = max(widths[i], Columns(row[c]))
		}
	}
	if width <= 0 || total(widths, wideGap) <= width {
		return widths, wideGap
	}
	for over := total(widths, narrowGap) - width; over > 0; over-- {
		at := -1
		for i, c := range shown {
			if least := max(g.cols[c].least, len(g.cols[c].head)); g.cols[c].least > 0 && widths[i] > least && (at < 0 || widths[i] > widths[at]) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		widths[at]--
	}
	return widths, narrowGap
}

func total(widths []int, gap int) int {
	n := gap * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// line is a row; row -1 is the head.
func (g *grid) line(row int, shown, widths []int, gap int) string {
	var line strings.Builder
	for i, c := range shown {
		cell := g.cols[c].head
		if row >= 0 {
			cell = Shorten(g.rows[row][c], widths[i])
		}
		blanks := strings.Repeat(" ", max(0, widths[i]-Columns(cell)))
		if row >= 0 && g.paint != nil {
			cell = g.paint(row, c, cell)
		}
		if i > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		if g.cols[c].right {
			line.WriteString(blanks + cell)
		} else {
			line.WriteString(cell + blanks)
		}
	}
	return strings.TrimRight(line.String(), " ")
}
