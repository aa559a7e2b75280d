// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is the name of oauth2-proxy's cookie. One that is too long for a cookie is
// cut into several, with "_" and a number at the end of their names.
const session = "_oauth2_proxy"

// Age makes the session of an address as old as if nobody had used the browser for a
// while: it signs the cookie again with an earlier time, as oauth2-proxy 7.15 signs it
// (pkg/encryption, SignedValue), so that a test need not wait for hours.
func (b *Browser) Age(address, domain, cookieSecret string, by time.Duration) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	var parts []*http.Cookie
	for _, cookie := range b.jar.Cookies(parsed) {
		if cookie.Name == session || isPart(cookie.Name) {
			parts = append(parts, cookie)
		}
	}
	slices.SortFunc(parts, func(a, b *http.Cookie) int { return strings.Compare(a.Name, b.Name) })
	values := make([]string, 0, len(parts))
	for _, part := range parts {
		values = append(values, part.Value)
	}
	fields := strings.Split(strings.Join(values, ""), "|")
	if len(fields) != 3 {
		return fmt.Errorf("there is no session for %s", address)
	}
	at, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return fmt.Errorf("reading when the session began: %w", err)
	}
	earlier := strconv.FormatInt(time.Unix(at, 0).Add(-by).Unix(), 10)
	signature := hmac.New(sha256.New, []byte(cookieSecret))
	_, _ = signature.Write([]byte(session + fields[0] + earlier)) // it never fails
	aged := strings.Join([]string{fields[0], earlier, base64.URLEncoding.EncodeToString(signature.Sum(nil))}, "|")
	for i, part := range parts {
		size := len(part.Value)
		if i == len(parts)-1 {
			size = len(aged)
		}
		part.Value, aged = aged[:size], aged[size:]
		part.Domain, part.Path, part.Secure = domain, "/", true
	}
	b.jar.SetCookies(parsed, parts)
	return nil
}

func isPart(name string) bool {
	number, found := strings.CutPrefix(name, session+"_")
	_, err := strconv.Atoi(number)
	return found && err == nil
}
