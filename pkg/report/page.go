// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// page has everything that is the same for all reports; the elements with an id are
// filled in. It is no template: html/template calls methods by their names, and then the
// linker keeps every method of everything, which is a third of kubectl-extauth.
//
//go:embed page.html
var page string

// pageRows is how many hosts the page shows at a time. The rows behind them are in it as
// well, compressed, because twenty thousand of them as they are would be some 17 MB.
const pageRows = 500

// docs is where the links of the page lead. Nothing is loaded from there.
const docs = "https://github.com/extauth-guard/extauth-guard/blob/main/docs/"

func (r Report) html(w io.Writer) error {
	document, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return fmt.Errorf("parsing the page: %w", err)
	}
	at := places{}
	at.collect(document)
	rows := r.rows()
	first := min(len(rows), pageRows)
	at.fill("source", "Looked at "+r.Source+", ", element("time", attributes{"datetime": r.Generated.Format(time.RFC3339)}, r.Generated.Format("2 January 2006, 15:04 MST")))
	at.fill("tiles", r.tiles()...)
	for _, one := range rows[:first] {
		at.fillBody("hosts", one.element())
	}
	for _, one := range r.Teams {
		at.fillBody("teams", one.element())
	}
	for _, one := range r.Exemptions {
		at.fillBody("exemptions", one.element())
	}
	at.keep("none", len(r.Exemptions) == 0)
	if len(r.Exemptions) == 0 {
		at.keep("exemptions", false)
	}
	rest, err := packed(rows[first:])
	if err != nil {
		return err
	}
	at.keep("rest", rest != "")
	at.keep("more", rest != "")
	at.fill("rest", rest)
	// Without scripts what is in noscript is text for the parser, and written as it is.
	at.replace("more", fmt.Sprintf("<p>The other hosts of %d need JavaScript, or the output as CSV.</p>", len(rows)))
	return html.Render(w, document)
}

// tiles are the numbers at the top.
func (r Report) tiles() []any {
	var tiles []any
	for _, one := range []struct {
		count       int
		class, text string
	}{
		{r.Summary.Hosts, "", " hosts"},
		{r.Summary.NotEnforced, "NotEnforced", " declared as protected, but nobody asks"},
		{r.Summary.Open, "Open", " open to everybody"},
		{r.Summary.Unknown, "Unknown", " cannot be told"},
		{r.Summary.Blocked, "Blocked", " blocked, every request gets 403"},
		{r.Summary.Protected, "Protected", " protected"},
		{len(r.Exemptions), "", " exemptions"},
	} {
		tiles = append(tiles, element("li", nil, element("b", attributes{"class": one.class}, strconv.Itoa(one.count)), one.text))
	}
	return tiles
}

// element is the row of a host.
func (r row) element() *html.Node {
	verdict := string(r.Verdict)
	said := []any{element("a", attributes{"class": "mark " + verdict, "href": docs + "verdicts.md"}, verdict)}
	if r.Why != "" {
		said = append(said, element("br", nil), r.Why)
	}
	if r.Fix != "" {
		said = append(said, element("br", nil), element("span", attributes{"class": "dim"}, r.Fix))
	}
	var objects, rules, findings []any
	for i, one := range r.Objects() {
		if i > 0 {
			objects = append(objects, element("br", nil))
		}
		objects = append(objects, one.Kind+" "+one.Name)
		for _, rule := range one.Rules {
			rules = append(rules, rule.element())
		}
		for _, finding := range one.Findings {
			findings = append(findings, finding.element())
		}
	}
	return element("tr", attributes{"data-verdict": verdict},
		element("td", nil, r.Host.Host), element("td", nil, said...), element("td", nil, r.Namespaces()), element("td", nil, objects...),
		element("td", nil, r.By()), folded(rules), folded(findings))
}

// folded is a cell that shows how many there are, and all of them once it is opened.
func folded(items []any) *html.Node {
	count := strconv.Itoa(len(items))
	if len(items) == 0 {
		return element("td", attributes{"data-sort": count}, "-")
	}
	return element("td", attributes{"data-sort": count},
		element("details", nil, element("summary", nil, count), element("ul", attributes{"class": "plain"}, items...)))
}

func (r Rule) element() *html.Node {
	parts := []any{
		element("span", attributes{"class": "mark " + string(r.Verdict)}, string(r.Verdict)), " " + r.Strategy + " ",
		element("code", nil, r.Path), " " + strings.Join(r.Methods, " "),
	}
	if len(r.Authorizers) > 0 {
		parts = append(parts, " by "+strings.Join(r.Authorizers, " "))
	}
	if r.InjectedFrom != "" {
		parts = append(parts, " ", element("span", attributes{"class": "dim"}, "asked by "+r.InjectedFrom))
	}
	if r.Callers != "" {
		parts = append(parts, " ", element("span", attributes{"class": "dim"}, "inside the mesh: "+r.Callers))
	}
	return element("li", nil, parts...)
}

func (f Finding) element() *html.Node {
	return element("li", nil,
		element("a", attributes{"class": "mark " + f.Severity, "href": docs + "reference/codes.md#" + strings.ToLower(f.Code)}, f.Code), " ",
		element("code", nil, f.Path), " "+f.Message)
}

func (t Team) element() *html.Node {
	cells := []any{element("td", nil, t.Namespace)}
	for _, count := range []int{t.Hosts, t.NotEnforced, t.Open, t.Unknown, t.Blocked, t.Protected, t.Deny, t.Warn} {
		cells = append(cells, element("td", nil, strconv.Itoa(count)))
	}
	return element("tr", nil, cells...)
}

func (e Exemption) element() *html.Node {
	var paths []any
	for _, path := range e.Paths {
		paths = append(paths, element("code", nil, path), " ")
	}
	class := ""
	if e.Expired {
		class = "mark no"
	}
	return element("tr", nil,
		element("td", nil, e.Namespace+"/"+e.Name), element("td", nil, paths...), element("td", nil, e.Reason), element("td", nil, e.Owner),
		element("td", attributes{"class": class}, e.Until()), element("td", nil, e.Policy))
}

// packed compresses rows that the page's own script unpacks: gzip, in base64 for URLs.
func packed(rows []row) (string, error) {
	if len(rows) == 0 {
		return "", nil
	}
	var text strings.Builder
	encoder := base64.NewEncoder(base64.RawURLEncoding, &text)
	compressor, err := gzip.NewWriterLevel(encoder, gzip.BestCompression)
	if err != nil {
		return "", fmt.Errorf("compressing rows: %w", err)
	}
	for _, one := range rows {
		if err := html.Render(compressor, one.element()); err != nil {
			return "", err
		}
	}
	if err := compressor.Close(); err != nil {
		return "", fmt.Errorf("compressing rows: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return "", fmt.Errorf("encoding rows: %w", err)
	}
	return text.String(), nil
}
