// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package browser is a browser's cookies and redirects, by script: it follows redirects
// from host to host, keeps cookies by their domains, and fills a form with one field.
// It runs no JavaScript and draws nothing.
package browser

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// patience bounds one page with all its redirects.
const patience = 30 * time.Second

// Browser is one person's. It takes every certificate.
type Browser struct {
	jar    *cookiejar.Jar
	client *http.Client
}

// Page is what came back at the end of the redirects.
type Page struct {
	// URL is where it is from.
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
}

// New returns a browser without cookies. It connects by dial, which stands for the name
// service of the hosts.
func New(dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("making a browser: %w", err)
	}
	return &Browser{jar: jar, client: &http.Client{
		Jar: jar, Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true, DialContext: dial,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the gateways of tests sign for themselves
		},
	}}, nil
}

// Open asks for a page as a person does, and follows redirects.
func (b *Browser) Open(ctx context.Context, address string) (Page, error) {
	return b.send(ctx, b.client, http.MethodGet, address, nil, http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}})
}

// Fetch asks as a script of a page does: for JSON, and without following redirects,
// which would lead to another origin. The header is sent along; nil is none.
func (b *Browser) Fetch(ctx context.Context, address string, header http.Header) (Page, error) {
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	header.Set("Accept", "application/json")
	return b.send(ctx, &client, http.MethodGet, address, nil, header)
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// SignIn fills the form of a page with a user, and returns the page that comes after it.
func (b *Browser) SignIn(ctx context.Context, page Page, user string) (Page, error) {
	action := formAction.FindStringSubmatch(page.Body)
	if action == nil {
		return Page{}, fmt.Errorf("%s has no form: %d %s", page.URL, page.Status, page.Body)
	}
	fields := url.Values{"user": {user}}
	for _, field := range hidden.FindAllStringSubmatch(page.Body, -1) {
		fields.Set(field[1], html.UnescapeString(field[2]))
	}
	return b.send(ctx, b.client, http.MethodPost, html.UnescapeString(action[1]), strings.NewReader(fields.Encode()),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

// Cookies returns those that an address would get.
func (b *Browser) Cookies(address string) ([]*http.Cookie, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return b.jar.Cookies(parsed), nil
}

func (b *Browser) send(ctx context.Context, client *http.Client, method, address string, body io.Reader, header http.Header) (Page, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return Page{}, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return Page{}, err
	}
	text, err := io.ReadAll(response.Body)
	return Page{URL: response.Request.URL, Status: response.StatusCode, Header: response.Header, Body: string(text)},
		errors.Join(err, response.Body.Close())
}
