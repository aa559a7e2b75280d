// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var page string

// pageRows is how many hosts the page shows at a time. The rows behind them are in it as
// well, compressed, because twenty thousand of them as they are would be some 17 MB.
const pageRows = 500

// docs is where the links of the page lead. Nothing is loaded from there.
const docs = "https://github.com/extauth-guard/extauth-guard/blob/main/docs/"

// paged is what the page is made of.
type paged struct {
	Report
	// Rows are the first hosts, and Rest the others: rows of the same table, as gzip in
	// base64 for URLs; "" if there are none.
	Rows []row
	Rest string
	// Count is how many hosts there are.
	Count int
}

func (r Report) html(w io.Writer) error {
	parsed, err := template.New("page").Funcs(template.FuncMap{"docs": func() string { return docs }, "lower": strings.ToLower}).Parse(page)
	if err != nil {
		return err
	}
	rows := r.rows()
	all := paged{Report: r, Rows: rows[:min(len(rows), pageRows)], Count: len(rows)}
	if all.Rest, err = packed(parsed, rows[len(all.Rows):]); err != nil {
		return err
	}
	return parsed.Execute(w, all)
}

// packed renders rows with the page's own template, so that nothing else escapes what
// strangers wrote, and compresses them.
func packed(parsed *template.Template, rows []row) (string, error) {
	if len(rows) == 0 {
		return "", nil
	}
	var text strings.Builder
	encoder := base64.NewEncoder(base64.RawURLEncoding, &text)
	compressor, err := gzip.NewWriterLevel(encoder, gzip.BestCompression)
	if err != nil {
		return "", fmt.Errorf("compressing rows: %w", err)
	}
	if err := parsed.ExecuteTemplate(compressor, "rows", rows); err != nil {
		return "", err
	}
	if err := compressor.Close(); err != nil {
		return "", fmt.Errorf("compressing rows: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return "", fmt.Errorf("encoding rows: %w", err)
	}
	return text.String(), nil
}
