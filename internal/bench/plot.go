package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth   = 900
	plotMargin  = 70
	plotLabels  = 100 // at the right, for the names of curves
	panelHeight = 220
	panelGap    = 60
)

// Plot draws throughput and latency over time as an SVG picture.
func (r *Report) Plot(w io.Writer) error {
	var b strings.Builder
	height := 2*panelHeight + 2*panelGap + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="22" font-size="15">tallystick bench: %s on %s, %d tokens, %d clients, %s</text>`+"\n",
		plotMargin, r.Protocol, r.Database, r.Tokens, r.Clients, r.pace())
	whole := r.Timeline // without the second in which the load ended: the answers of a part of one are no rate
	if n := int(r.Seconds); n >= 2 && n < len(whole) {
		whole = whole[:n]
	}
	r.panel(&b, panelGap, "answers a second", false, whole, []curve{
		{"answers", "#1f5fa8", func(s Second) float64 { return float64(s.Answers) }},
		{"bare database", "#999999", func(Second) float64 { return r.Baseline }},
	})
	r.panel(&b, 2*panelGap+panelHeight, "milliseconds until the answer", true, r.Timeline, []curve{
		{"p50", "#2a7f3f", func(s Second) float64 { return s.P50 }},
		{"p99", "#c8641e", func(s Second) float64 { return s.P99 }},
		{"max", "#b02a2a", func(s Second) float64 { return s.Max }},
	})
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// A curve is one line of a panel.
type curve struct {
	name, colour string
	value        func(Second) float64
}

// panel draws curves over those of the seconds; logarithmic draws their powers of ten at equal distances.
func (r *Report) panel(b *strings.Builder, top int, title string, logarithmic bool, seconds []Second, curves []curve) {
	const least = 0.1 // of a logarithmic axis
	most := 1.0
	for _, s := range seconds {
		for _, c := range curves {
			most = max(most, c.value(s))
		}
	}
	high := math.Pow(10, math.Ceil(math.Log10(most)))
	ticks := []float64{0, most / 4, most / 2, most * 3 / 4, most}
	if logarithmic {
		ticks = nil
		for v := least; v <= high*1.01; v *= 10 {
			ticks = append(ticks, v)
		}
	}
	y := func(v float64) float64 {
		part := v / most
		if logarithmic {
			part = math.Log10(max(v, least)/least) / math.Log10(high/least)
		}
		return float64(top) + panelHeight*(1-part)
	}
	x := func(second int) float64 {
		return plotMargin + float64(plotWidth-plotMargin-plotLabels)*float64(second)/float64(max(1, len(r.Timeline)-1))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", plotMargin, top-8, title)
	for _, v := range ticks {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%[3]f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%.4g</text>`+"\n",
			plotMargin, plotWidth-plotLabels, y(v), plotMargin-6, y(v)+4, v)
	}
	step := max(1, (len(r.Timeline)+9)/10)
	for i := 0; i < len(r.Timeline); i += step {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(i), top+panelHeight+16, i)
	}
	for n, c := range curves {
		var points []string
		for i, s := range seconds {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(c.value(s))))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", c.colour, strings.Join(points, " "))
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotWidth-plotLabels+6, top+14+16*n, c.colour, c.name)
	}
}
