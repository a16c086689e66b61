package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// The look. Nothing is told by colour alone, so that it may be missing: where
// NO_COLOR is set bubbletea leaves it out.
var (
	faint  = lipgloss.NewStyle().Faint(true)
	bold   = lipgloss.NewStyle().Bold(true)
	digits = lipgloss.NewStyle().Foreground(lipgloss.BrightCyan)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Green)
	cut    = lipgloss.NewStyle().Inline(true)
	bad    = lipgloss.NewStyle().Foreground(lipgloss.BrightYellow)
)

// View draws the screen: the chosen token large, below it the list, at the
// bottom one line that asks or tells and one or two of help.
func (s *screen) View() tea.View {
	top := append([]string{s.title()}, s.large()...)
	words, cursor := s.words()
	bottom := append(append([]string{""}, words...), s.help()...)
	if s.height < len(top)+len(bottom) { // what tells something goes before what keeps it apart
		top = slices.DeleteFunc(top, func(line string) bool { return line == "" })
	}

	rows := s.height - len(top) - len(bottom)
	lines := slices.Concat(top, s.list(rows))
	for len(lines) < s.height-len(bottom) {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, min(len(lines), s.height-len(bottom)))], bottom...)
	for i := range lines {
		lines[i] = cut.MaxWidth(s.width).Render(lines[i])
	}
	view := tea.NewView(strings.Join(lines, "\n"))
	view.AltScreen = true
	view.WindowTitle = "tally"
	if cursor != nil {
		cursor.Y += len(lines) - len(bottom) + 1 // below the blank line
		view.Cursor = cursor
	}
	return view
}

func (s *screen) title() string {
	title := " " + bold.Render("tally")
	right := faint.Render(s.now.UTC().Format("2006-01-02 15:04:05") + " UTC ")
	if gap := s.width - lipgloss.Width(title) - lipgloss.Width(right); gap > 0 {
		return title + strings.Repeat(" ", gap) + right
	}
	return title
}

// large draws the chosen token: name, code, countdown, next code. It always
// takes the same number of lines, so that the list does not jump.
func (s *screen) large() []string {
	t, ok := s.token()
	if !ok {
		return []string{"", "  No tokens yet.", "", "  Paste a token string or link here, or press i.", ""}
	}
	lines := []string{"", "  " + s.heading(t), ""}
	code, ok := s.code()
	shown := strings.Repeat("-", t.Digits) // the shape of what is missing
	if ok {
		shown = code.Text
	}
	for _, line := range s.bigDigits(shown) {
		lines = append(lines, "  "+digits.Render(line))
	}
	status := "press p to enter the PIN"
	switch {
	case ok:
		status = s.countdown(t, code)
	case t.Expired(s.now):
		status = "no more codes: ask for a new token"
	}
	lines = append(lines, "", "  "+status, "  "+s.nextCode(t, ok), "")
	return lines
}

// heading is what the token is called and how long it can be used. Where both do not fit, the serial
// number is left out first (the list has it), and then the end of the name, so that a warning is always seen.
func (s *screen) heading(t tokenapp.Token) string {
	name, valid := label(t), s.validity(t)
	room := s.width - 2 - lipgloss.Width(valid)
	if lipgloss.Width(name) > room && t.Nickname != "" {
		name = t.Nickname
	}
	return bold.Inline(true).MaxWidth(max(1, room)).Render(name) + valid
}

// label is the nickname and, after it, the serial number.
func label(t tokenapp.Token) string {
	if t.Nickname == "" {
		return t.Serial
	}
	return t.Nickname + "  " + t.Serial
}

// validity tells how long the token can be used, loudly when that is not long.
func (s *screen) validity(t tokenapp.Token) string {
	days, known := t.DaysLeft(s.now)
	switch {
	case !known:
		return ""
	case days < 0:
		return "   " + bad.Render("expired after "+t.Info().Expiry)
	case days == 0:
		return "   " + bad.Render("expires today")
	case days <= noticeDays:
		return "   " + bad.Render(fmt.Sprintf("expires in %d days", days))
	}
	return "   " + faint.Render("until "+t.Info().Expiry)
}

// bigDigits draws a code as large as the terminal allows.
func (s *screen) bigDigits(code string) []string {
	for scale := 2; scale > 0; scale-- {
		if lines := block(code, scale); lipgloss.Width(lines[0])+4 <= s.width && s.height >= 20 {
			return lines
		}
	}
	return []string{grouped(code)}
}

// grouped puts a gap in the middle, as people read codes.
func grouped(code string) string { return code[:len(code)/2] + " " + code[len(code)/2:] }

// countdown draws how much of the interval is left.
func (s *screen) countdown(t tokenapp.Token, code tokenapp.Code) string {
	width := max(10, min(s.width-12, 60))
	full := (width*code.Left + t.Interval - 1) / t.Interval
	bar := strings.Repeat("━", full)
	style := good
	if code.Left <= 5 {
		style = bad
	}
	return style.Render(bar) + faint.Render(strings.Repeat("─", width-full)) + fmt.Sprintf(" %2d s", code.Left)
}

func (s *screen) nextCode(t tokenapp.Token, known bool) string {
	if !s.next || !known {
		return ""
	}
	code, err := t.Code(s.now.Add(time.Duration(t.Interval)*time.Second), s.pin)
	if err != nil {
		return ""
	}
	return faint.Render("next ") + grouped(code.Text)
}

// list draws the tokens, the part around the chosen one if they are too many.
func (s *screen) list(rows int) []string {
	if len(s.tokens) < 2 || rows < 1 {
		return nil
	}
	first := max(0, min(s.chosen-rows/2, len(s.tokens)-rows))
	var lines []string
	for i := first; i < len(s.tokens) && len(lines) < rows; i++ {
		lines = append(lines, s.row(i))
	}
	return lines
}

// row draws one token of the list, with its code unless that needs a PIN.
func (s *screen) row(i int) string {
	t := s.tokens[i]
	code, note := "", ""
	switch days, known := t.DaysLeft(s.now); {
	case known && days < 0:
		note = "expired"
	case known && days <= noticeDays:
		note = fmt.Sprintf("%d days left", days)
	}
	if t.AddPIN {
		code = "PIN"
	} else if c, err := t.Code(s.now, ""); err == nil && !t.Expired(s.now) {
		code = grouped(c.Text)
	}
	name := t.Nickname
	if name == "" {
		name = "-"
	}
	line := fmt.Sprintf("%s  %s  %-9s  %s", pad(name, min(tokenapp.MaxNickname, s.width/3)), t.Serial, code, bad.Render(note))
	if i == s.chosen {
		return bold.Render("> ") + line
	}
	return "  " + line
}

// pad fills or cuts text to a width in terminal columns.
func pad(text string, width int) string {
	return cut.MaxWidth(width).Width(width).Render(text)
}

// words asks what is to be asked, or tells how the last action ended. The
// cursor is that of a prompt, with its line counted among these.
func (s *screen) words() (lines []string, cursor *tea.Cursor) {
	text, style := s.message, lipgloss.NewStyle()
	switch {
	case s.prompt != nil:
		return s.asked()
	case s.working != "":
		text = s.working + " …"
		if progress, _ := s.progress.Load().(string); progress != "" {
			text = progress + " …"
		}
	case s.question != nil:
		text, style = s.question.text+" (y/n)", bold
	case s.message == "":
		text, style = s.stale, bad
	case s.failed:
		style = bad
	}
	return s.wrapped(text, style), nil
}

// roomToType is how many columns a prompt leaves for the answer.
const roomToType = 16

// asked is the prompt, below what was wrong with the last answer.
func (s *screen) asked() (lines []string, cursor *tea.Cursor) {
	if s.failed && s.message != "" {
		lines = s.wrapped(s.message, bad)
	}
	input := &s.prompt.input
	input.Prompt = s.prompt.label + ": "
	if lipgloss.Width(input.Prompt)+roomToType+4 > s.width { // the question gets lines of its own
		lines = append(lines, s.wrapped(s.prompt.label+":", lipgloss.NewStyle())...)
		input.Prompt = "> "
	}
	input.SetWidth(max(1, s.width-lipgloss.Width(input.Prompt)-4))
	if cursor = input.Cursor(); cursor != nil {
		cursor.X += 2
		cursor.Y = len(lines)
	}
	return append(lines, "  "+input.View()), cursor
}

// wrapped is a text on as many lines as it needs and the terminal can spare.
func (s *screen) wrapped(text string, style lipgloss.Style) (lines []string) {
	for line := range strings.SplitSeq(lipgloss.Wrap(text, max(1, s.width-4), ""), "\n") {
		lines = append(lines, "  "+style.Render(line))
	}
	return lines[:min(len(lines), max(1, s.height/4))]
}

// help draws the keys, on as many lines as they need and the terminal can
// spare.
func (s *screen) help() []string {
	entries := []string{"enter done", "esc cancel"}
	if s.prompt == nil {
		entries = nil
		for _, k := range keys {
			if k.help != "" {
				entries = append(entries, k.keys[0]+" "+k.help)
			}
		}
	}
	lines := []string{""}
	for _, e := range entries {
		last := &lines[len(lines)-1]
		if *last != "" && lipgloss.Width(*last)+lipgloss.Width(e)+4 > s.width {
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		*last += "  " + e
	}
	lines = lines[:min(len(lines), max(1, s.height/4))]
	for i := range lines {
		lines[i] = faint.Render(lines[i])
	}
	return lines
}
