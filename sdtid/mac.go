package sdtid

import "strings"

// maxSection bounds the text of a header or token that a MAC covers, in bytes.
// stoken has the same limit.
const maxSection = 1 << 16

// canonical appends to buf, which must be empty, the text of a section that
// its MAC covers, as section 6 has it: one line per leaf, and gaps of zeros
// between the lines that nobody would design but every file depends on.
func canonical(buf []byte, section string, e *element) ([]byte, error) {
	var gap int
	whole := e.lines(section, false, func(line []byte, empty bool) bool {
		// A line that fits its block together with the gap is pulled back to
		// the start of the block, over whatever the end of the block before it
		// holds: zeros, and sometimes the end of the previous line.
		if !empty && len(line)+gap <= 16 {
			buf = buf[:len(buf)-len(buf)%16]
		}
		if len(buf)+len(line)+gap > maxSection {
			return false
		}
		buf = append(buf, line...)
		buf = append(buf, make([]byte, gap)...)
		if gap = len(buf) % 16; gap == 0 {
			gap = 16
		}
		return true
	})
	if !whole {
		return nil, ErrTooLarge
	}
	return buf, nil
}

// signedText appends the lines of a section as the batch signature covers them
// (section 7): without gaps, and with the MACs.
func signedText(buf []byte, section string, e *element) []byte {
	e.lines(section, true, func(line []byte, _ bool) bool {
		buf = append(buf, line...)
		return true
	})
	return buf
}

// lines gives the line of every leaf below e, in document order, until yield
// returns false. A line is valid until yield returns.
func (e *element) lines(section string, macs bool, yield func(line []byte, empty bool) bool) bool {
	return e.linesBelow(append(make([]byte, 0, 256), section...), macs, yield)
}

func (e *element) linesBelow(path []byte, macs bool, yield func(line []byte, empty bool) bool) bool {
	for i := range e.children {
		c := &e.children[i]
		if !macs && c.isMAC() {
			continue
		}
		line := append(append(path, '.'), c.name...)
		if len(c.children) > 0 {
			if !c.linesBelow(line, macs, yield) {
				return false
			}
			continue
		}
		if len(c.text) > 0 {
			line = append(append(line, ' '), c.text...)
		} else {
			line = append(append(append(line, " </"...), c.name...), '>')
		}
		if !yield(append(line, '\n'), len(c.text) == 0) {
			return false
		}
	}
	return true
}

// isMAC tells whether no MAC covers the element.
func (e *element) isMAC() bool { return len(e.name) > 3 && strings.HasSuffix(e.name, "MAC") }
