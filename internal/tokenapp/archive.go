package tokenapp

import (
	"archive/zip"
	"bytes"
	"io"
	"path"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
)

// maxUnpacked bounds all files of an archive together.
const maxUnpacked = 64 << 20

// readArchive calls add with the content of every token file in a zip archive,
// the form in which servers hand out many (spec/sdtid.md section 1).
func readArchive(data []byte, add func([]byte) error) error {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fault.New(fault.BadFormat, "the zip archive is damaged")
	}
	left, files := int64(maxUnpacked), 0
	for _, entry := range archive.File {
		if name := path.Base(entry.Name); !strings.EqualFold(path.Ext(name), ".sdtid") || strings.HasPrefix(name, "._") {
			continue // macOS packs a file of that beginning beside each, with what it knows of it
		}
		content, err := unpack(entry, left)
		if err != nil {
			return err
		}
		if err := add(content); err != nil {
			return err
		}
		left -= int64(len(content))
		files++
	}
	if files == 0 {
		return fault.New(fault.BadFormat, "the zip archive holds no .sdtid file")
	}
	return nil
}

// unpack reads one file, whatever size the archive says it has.
func unpack(entry *zip.File, most int64) ([]byte, error) {
	damaged := fault.New(fault.BadFormat, "a file in the zip archive is damaged or locked: unpack it and import the .sdtid file")
	r, err := entry.Open()
	if err != nil {
		return nil, damaged
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, damaged
	}
	if int64(len(content)) > most {
		return nil, fault.New(fault.TooLarge, "the zip archive holds more than %d MiB of token files", maxUnpacked>>20)
	}
	return content, nil
}
