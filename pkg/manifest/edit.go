// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v4"
)

// errUnusual says that a place in the text has a form that edit leaves to
// rewrite.
var errUnusual = errors.New("the text has an unusual form here")

// edit changes lines of the text. All changes are found in the text as it was
// read and made at once, so that no position is ever outdated and no text is read
// again.
func (c *Content) edit(patches []Patch) ([]byte, error) {
	e := editor{places: c.places()}
	nodes := map[string]*yaml.Node{}
	for _, object := range c.Objects {
		nodes[object.Pointer] = object.node
	}
	for _, patch := range patches {
		changes, err := planOf(c.root, patch)
		if err != nil {
			return nil, err
		}
		e.style = styleOf(nodes[patch.Pointer])
		for _, one := range changes {
			if err := e.change(one); err != nil {
				return nil, err
			}
		}
	}
	return append(bytes.Clone(c.mark), e.result()...), nil
}

// editor collects what changes in a text.
type editor struct {
	*places
	style   style
	splices []splice
}

// splice replaces a part of the text.
type splice struct {
	start, end int
	text       string
	// depth orders what is inserted at one place: the inner comes first.
	depth int
}

func (e *editor) splice(start, end int, text string) {
	e.splices = append(e.splices, splice{start: start, end: end, text: text})
}

// result returns the changed text.
func (e *editor) result() []byte {
	sort.SliceStable(e.splices, func(i, j int) bool {
		a, b := e.splices[i], e.splices[j]
		return a.start < b.start || (a.start == b.start && a.depth > b.depth)
	})
	var text bytes.Buffer
	at := 0
	for _, one := range e.splices {
		text.Write(e.text[at:max(at, one.start)])
		text.WriteString(one.text)
		at = max(at, one.end)
	}
	text.Write(e.text[at:])
	return text.Bytes()
}

// lined gives lines the line end of the text.
func (e *editor) lined(lines string) string {
	lines = strings.ReplaceAll(lines, "\r\n", "\n")
	if e.newline != "\n" {
		lines = strings.ReplaceAll(lines, "\n", e.newline)
	}
	return lines
}

func (e *editor) change(one *changes) error {
	if isFlow(one.mapping) {
		return e.changeInBraces(one)
	}
	return e.changeLines(one)
}

// changeLines changes a mapping that stands in lines.
func (e *editor) changeLines(one *changes) error {
	if len(one.mapping.Content) == 0 {
		return errUnusual
	}
	indent := one.mapping.Content[0].Column - 1
	added, err := e.setLines(one, indent)
	if err != nil {
		return err
	}
	if len(one.gone) > 0 && len(one.gone) == len(one.mapping.Content)/2 {
		return e.replaceAll(one, strings.TrimLeft(added, " "))
	}
	for key := range one.gone {
		if err := e.remove(one.mapping, key); err != nil {
			return err
		}
	}
	if added == "" {
		return nil
	}
	end, err := e.endOfLines(one.mapping, indent)
	if err != nil {
		return err
	}
	e.insertLines(end, added, indent)
	return nil
}

// setLines gives keys that are there new values, and returns the entries of those
// that are not.
func (e *editor) setLines(one *changes, indent int) (string, error) {
	var added strings.Builder
	for _, key := range one.order {
		value, err := e.resolved(one.set[key], indent+e.style.step)
		if err != nil {
			return "", err
		}
		if i := keyIndex(one.mapping, key); i >= 0 && !one.gone[key] {
			if err := e.replace(one.mapping.Content[i], one.mapping.Content[i+1], indent, key, value); err != nil {
				return "", err
			}
			continue
		}
		added.WriteString(strings.Repeat(" ", indent) + e.style.entry(indent, key, value))
	}
	return added.String(), nil
}

// insertLines inserts lines at an offset where a line begins, or at the end.
func (e *editor) insertLines(at int, lines string, depth int) {
	lines = e.lined(lines)
	before := at // what stays in front of the lines ends there
	for _, one := range e.splices[max(0, len(e.splices)-2):] {
		if one.end == at && one.text == "" {
			before = one.start
		}
	}
	switch {
	case at == 0 || e.text[at-1] == '\n':
	case before < at && e.text[before-1] == '\n':
		lines = strings.TrimSuffix(lines, e.newline)
	default:
		lines = e.newline + strings.TrimSuffix(lines, e.newline)
	}
	e.splices = append(e.splices, splice{start: at, end: at, text: lines, depth: depth})
}

// resolved puts the text of what is moved, indented by columns, in its place.
func (e *editor) resolved(value any, columns int) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return value, nil
	}
	for key, inner := range object {
		from, ok := inner.(moved)
		if !ok {
			continue
		}
		start, err := e.colon(from.key)
		if err != nil {
			return nil, err
		}
		_, end, err := e.entry(from.key, from.value)
		if err != nil {
			return nil, err
		}
		text := strings.ReplaceAll(string(e.text[start:end]), "\r\n", "\n")
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		object[key] = verbatim(shift(text, columns-(from.key.Column-1)))
	}
	return object, nil
}

// replaceAll replaces all entries of a mapping.
func (e *editor) replaceAll(one *changes, entries string) error {
	first, last := one.mapping.Content[0], len(one.mapping.Content)-2
	_, end, err := e.entry(one.mapping.Content[last], one.mapping.Content[last+1])
	if err != nil || entries == "" {
		return errUnusual
	}
	entries = e.lined(entries)
	if e.text[end-1] != '\n' {
		entries = strings.TrimSuffix(entries, e.newline)
	}
	e.splice(e.offset(first), end, entries)
	return nil
}

// replace gives an entry in lines another value. A comment behind it stays.
func (e *editor) replace(key, old *yaml.Node, indent int, name string, value any) error {
	colon, err := e.colon(key)
	if err != nil {
		return err
	}
	end, err := e.end(old)
	if isEmpty(old) {
		end = colon
	}
	lineEnd := e.endOfLine(max(end, 0))
	if err != nil || !isRest(e.text[end:lineEnd]) {
		return e.replaceEntry(key, old, indent, name, value)
	}
	lines := e.style.value(indent, value)
	rest, isBlock := strings.CutPrefix(lines, "\n")
	if !isBlock {
		e.splice(colon, end, strings.TrimSuffix(lines, "\n"))
		return nil
	}
	e.splice(colon, end, "")
	e.insertLines(lineEnd+lengthOfLineEnd(e.text[lineEnd:]), rest, indent)
	return nil
}

// isRest is true for what may follow a value on its line.
func isRest(text []byte) bool {
	content := bytes.TrimLeft(text, " \t")
	return len(content) == 0 || (content[0] == '#' && len(content) < len(text))
}

// replaceEntry writes an entry anew, in its place.
func (e *editor) replaceEntry(key, old *yaml.Node, indent int, name string, value any) error {
	start, end, err := e.entry(key, old)
	if err != nil {
		return err
	}
	entry := e.lined(e.style.entry(indent, name, value))
	if e.text[end-1] != '\n' {
		entry = strings.TrimSuffix(entry, e.newline)
	}
	e.splice(start, end, entry)
	return nil
}

// entry returns the offsets of an entry of a mapping in lines: from its key to
// the end of its last line.
func (e *editor) entry(key, value *yaml.Node) (start, end int, err error) {
	if anchored(value) {
		return 0, 0, errUnusual
	}
	end, err = e.endOfLines(value, key.Column)
	return e.offset(key), end, err
}

func (e *editor) remove(mapping *yaml.Node, key string) error {
	i := keyIndex(mapping, key)
	start, end, err := e.entry(mapping.Content[i], mapping.Content[i+1])
	if err != nil {
		return err
	}
	lineStart := e.lines[mapping.Content[i].Line-1]
	if len(bytes.TrimSpace(e.text[lineStart:start])) == 0 {
		e.splice(lineStart, end, "")
		return nil
	}
	// The key stands behind the dash of a list: the next one takes its place.
	if i+2 >= len(mapping.Content) {
		return errUnusual
	}
	e.splice(start, e.offset(mapping.Content[i+2]), "")
	return nil
}

// changeInBraces changes a mapping that stands in braces.
func (e *editor) changeInBraces(one *changes) error {
	if e.text[e.offset(one.mapping)] != '{' || anchored(one.mapping) {
		return errUnusual
	}
	var added []string
	for _, key := range one.order {
		value, err := e.inBraces(one.mapping, one.set[key])
		if err != nil {
			return err
		}
		if i := keyIndex(one.mapping, key); i >= 0 && !one.gone[key] {
			if err := e.replaceInBraces(one.mapping.Content[i], one.mapping.Content[i+1], value); err != nil {
				return err
			}
			continue
		}
		added = append(added, e.flowScalar(one.mapping, key)+": "+value)
	}
	kept, err := e.removeInBraces(one)
	if err != nil {
		return err
	}
	return e.addInBraces(one.mapping, kept, added)
}

func (e *editor) replaceInBraces(key, old *yaml.Node, value string) error {
	colon, err := e.colon(key)
	if err != nil {
		return err
	}
	end, err := e.end(old)
	if err != nil {
		return err
	}
	e.splice(colon, max(end, colon), " "+value)
	return nil
}

// removeInBraces takes entries away, with the comma in front of them, or else
// behind them. It returns how many entries are left.
func (e *editor) removeInBraces(one *changes) (kept int, err error) {
	entries := one.mapping.Content
	if len(one.gone) == 0 {
		return len(entries) / 2, nil
	}
	before := -1 // the end of the last entry that stays
	for i := 0; i < len(entries); i += 2 {
		end, err := e.end(entries[i+1])
		if err != nil {
			return 0, err
		}
		switch {
		case !one.gone[entries[i].Value]:
			kept, before = kept+1, end
		case i+2 < len(entries):
			e.splice(e.offset(entries[i]), e.offset(entries[i+2]), "")
		case before >= 0:
			e.splice(before, end, "")
		default:
			e.splice(e.offset(entries[0]), end, "")
		}
	}
	return kept, nil
}

// addInBraces adds entries behind the last one.
func (e *editor) addInBraces(mapping *yaml.Node, kept int, added []string) error {
	if len(added) == 0 {
		return nil
	}
	open := e.offset(mapping) + 1
	if len(mapping.Content) == 0 {
		e.splice(open, open, strings.Join(added, ", "))
		return nil
	}
	end, err := e.end(mapping.Content[len(mapping.Content)-1])
	if err != nil {
		return err
	}
	gap := string(e.text[open:e.offset(mapping.Content[0])])
	if strings.TrimSpace(gap) != "" || !strings.Contains(gap, "\n") {
		gap = " "
	}
	entries := strings.Join(added, ","+gap)
	if kept == 0 {
		e.splice(end, end, entries)
		return nil
	}
	if line := e.endOfLine(end); gap != " " && isRest(e.text[end:line]) {
		// A comment behind the last entry stays there.
		e.splice(end, end, ",")
		e.splice(line, line, gap+entries)
		return nil
	}
	e.splice(end, end, ","+gap+entries)
	return nil
}

// inBraces renders a value for a mapping in braces.
func (e *editor) inBraces(mapping *yaml.Node, value any) (string, error) {
	switch of := value.(type) {
	case moved:
		end, err := e.end(of.value)
		if err != nil {
			return "", err
		}
		return string(e.text[e.offset(of.value):end]), nil
	case []string:
		texts := make([]string, 0, len(of))
		for _, one := range of {
			texts = append(texts, e.flowScalar(mapping, one))
		}
		return "[" + strings.Join(texts, ", ") + "]", nil
	case map[string]string:
		entries := make(map[string]any, len(of))
		for key, one := range of {
			entries[key] = one
		}
		return e.inBraces(mapping, entries)
	case map[string]any:
		texts := make([]string, 0, len(of))
		for _, key := range slices.Sorted(maps.Keys(of)) {
			inner, err := e.inBraces(mapping, of[key])
			if err != nil {
				return "", err
			}
			texts = append(texts, e.flowScalar(mapping, key)+": "+inner)
		}
		return "{" + strings.Join(texts, ", ") + "}", nil
	case string:
		return e.flowScalar(mapping, of), nil
	}
	return "", errUnusual
}

// flowScalar renders a text as the mapping has its own: JSON where that is JSON.
func (e *editor) flowScalar(mapping *yaml.Node, text string) string {
	isJSON := e.style.json
	if len(mapping.Content) > 0 {
		isJSON = mapping.Content[0].Style&yaml.DoubleQuotedStyle != 0
	}
	if isJSON {
		return quoted(text)
	}
	return scalar(text)
}

// shift indents all lines but the first by more columns, or fewer.
func shift(text string, columns int) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		switch {
		case i == 0 || strings.TrimSpace(line) == "":
		case columns >= 0:
			lines[i] = strings.Repeat(" ", columns) + line
		default:
			lines[i] = line[min(-columns, len(line)-len(strings.TrimLeft(line, " "))):]
		}
	}
	return strings.Join(lines, "")
}
