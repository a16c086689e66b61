package report

import (
	"math"
	"strconv"
)

// How charts are drawn.
const (
	chartGap   = 10.0
	chartWide  = (inner - chartGap) / 2
	barHigh    = 4.6
	barGap     = 1.4
	labelWide  = 42.0
	countWide  = 18.0
	columnHigh = 34.0
)

// charts draws the charts that have something to show, two beside each other.
func (s *sheet) charts(all []*counter) {
	left, top, high := true, s.GetY(), 0.0
	for _, c := range all {
		bars := c.bars()
		if len(bars) == 0 {
			continue
		}
		need := chartHigh(c, bars)
		if left && top+need > bottom {
			s.AddPage()
			top = margin
		}
		x := margin
		if !left {
			x += chartWide + chartGap
		}
		s.chart(c, bars, x, top)
		high = max(high, need)
		if left = !left; left {
			top, high = top+high+4, 0
		}
	}
	if !left {
		top += high + 4
	}
	s.SetXY(margin, top)
}

// chartHigh is the height of a chart with its title.
func chartHigh(c *counter, bars []bar) float64 {
	if c.By == ByValue {
		return 8 + float64(len(bars))*(barHigh+barGap)
	}
	return 8 + columnHigh + 6
}

func (s *sheet) chart(c *counter, bars []bar, x, y float64) {
	s.SetFont(family, bold, textType)
	s.ink(black)
	s.SetXY(x, y)
	s.CellFormat(chartWide, 6, s.letters.shown(c.Title), "", 0, "L", false, 0, "")
	if c.By == ByValue {
		s.barsOf(bars, x, y+8)
	} else {
		s.columnsOf(bars, x, y+8)
	}
}

func most(bars []bar) float64 {
	n := 1.0
	for _, b := range bars {
		n = max(n, float64(b.n))
	}
	return n
}

// barsOf draws a bar for each group, with its count.
func (s *sheet) barsOf(bars []bar, x, y float64) {
	wide, scale := chartWide-labelWide-countWide, most(bars)
	s.SetFont(family, "", smallType)
	for _, b := range bars {
		cut := s.cut
		s.ink(black)
		s.SetXY(x, y)
		s.CellFormat(labelWide-2, barHigh, s.fit(s.letters.shown(b.label), labelWide-2), "", 0, "L", false, 0, "")
		s.cut = cut // the table has the whole text
		long := max(0.4, wide*float64(b.n)/scale)
		s.fill(pale)
		s.Rect(x+labelWide, y, wide, barHigh, "F")
		s.fill(accent)
		s.Rect(x+labelWide, y, long, barHigh, "F")
		s.ink(grey)
		s.SetXY(x+labelWide+wide+1.5, y)
		s.CellFormat(countWide, barHigh, grouped(b.n), "", 0, "L", false, 0, "")
		y += barHigh + barGap
	}
}

// columnsOf draws a column for each time, over a line with as many labels as have room.
func (s *sheet) columnsOf(bars []bar, x, y float64) {
	const axis = 12.0
	scale := nice(most(bars))
	wide := (chartWide - axis) / float64(max(len(bars), 6))
	s.SetFont(family, "", smallType)
	s.line(rule)
	for i := range 3 { // 0, half and all
		at := y + columnHigh - columnHigh*float64(i)/2
		s.Line(x+axis, at, x+chartWide, at)
		if value := scale * float64(i) / 2; value == math.Trunc(value) {
			s.ink(grey)
			s.SetXY(x, at-2)
			s.CellFormat(axis-1.5, 4, grouped(int64(value)), "", 0, "R", false, 0, "")
		}
	}
	step := int(math.Ceil((s.GetStringWidth(bars[0].label) + 3) / wide))
	end := x + chartWide + 1
	if bars[len(bars)-1].label == after { // whoever reads the chart has to know, whether or not its turn comes
		end -= s.GetStringWidth(after) + 2
		s.ink(grey)
		s.SetXY(end, y+columnHigh+1)
		s.CellFormat(s.GetStringWidth(after)+2, 4, after, "", 0, "R", false, 0, "")
	}
	for i, b := range bars {
		left := x + axis + float64(i)*wide
		high := columnHigh * float64(b.n) / scale
		s.fill(accent)
		if b.n > 0 {
			s.Rect(left+wide*0.12, y+columnHigh-max(high, 0.3), wide*0.76, max(high, 0.3), "F")
		}
		if i%step == 0 && b.label != after && left+s.GetStringWidth(b.label) <= end {
			s.ink(grey)
			s.SetXY(left, y+columnHigh+1)
			s.CellFormat(wide*float64(step), 4, b.label, "", 0, "L", false, 0, "")
		}
	}
}

// nice is the least of 1, 2, 4 and 5 times a power of ten that is not below n, so that its half can be read.
func nice(n float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(n)))
	for _, m := range []float64{1, 2, 4, 5, 10} {
		if m*power >= n {
			return m * power
		}
	}
	return n
}

// grouped is a number with its thousands apart.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}
