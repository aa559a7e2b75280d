// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// The keys of the Secret that the proxy reads, as the chart wants them for
// config.existingSecret (oauth2-proxy chart 10.7.0), and one of ours.
const (
	clientIDKey     = "client-id"
	clientSecretKey = "client-secret"
	cookieSecretKey = "cookie-secret"
	caKey           = "ca.crt"
)

// placeholder is what the chart's default values and copied examples look like.
// The proxy starts with them and then fails at the first request.
var placeholder = regexp.MustCompile(`(?i)^(x{4,}|change-?me|your[-_ ]?client[-_ ]?(id|secret)|<.*>|\$\{.*\})$`)

// credentials is the Secret that the proxy reads: the client's id and secret from
// the user's Secret, and a cookie secret that is made once and kept, since a new
// one ends all sessions.
type credentials struct{ Environment }

// Name is "credentials".
func (*credentials) Name() string { return "credentials" }

// Observe compares the Secret with the user's.
func (c *credentials) Observe(ctx context.Context) (bootstrap.Observation, error) {
	wanted, gaps, err := c.userCredentials(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	if len(gaps) > 0 {
		return blocked("Incomplete", "%s", strings.Join(gaps, "; ")), nil
	}
	found, err := c.secret(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case found == nil:
		return needed("Absent", "Secret %s is to be created", c.key(c.Config.Proxy.SecretName)), nil
	case !ours(found):
		return blocked("Foreign", "Secret %s exists and was not made by this job; remove it, or set another proxy.secretName", c.key(found.Name)), nil
	case len(found.Data[cookieSecretKey]) > 0 && !cookieSecretFits(string(found.Data[cookieSecretKey])):
		return blocked("CookieSecret", "the %s of Secret %s is not 16, 24 or 32 bytes, or the base64 of that, and the proxy exits at start; correct it, or remove that key to have a new one made",
			cookieSecretKey, c.key(found.Name)), nil
	case !c.matches(found, wanted):
		return needed("Differs", "Secret %s is to be brought up to date", c.key(found.Name)), nil
	}
	return done("Ready", "Secret %s", c.key(found.Name)), nil
}

// Apply writes the Secret under the version that it read, so that of two jobs at
// a time only one makes the cookie secret.
func (c *credentials) Apply(ctx context.Context) error {
	wanted, gaps, err := c.userCredentials(ctx)
	if err != nil {
		return err
	}
	if len(gaps) > 0 {
		return fmt.Errorf("reading the client's credentials: %s", strings.Join(gaps, "; "))
	}
	secret, err := c.secret(ctx)
	if err != nil {
		return err
	}
	create := secret == nil
	if create {
		key := c.key(c.Config.Proxy.SecretName)
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{managedBy: Owner},
		}}
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[clientIDKey] = []byte(wanted.ClientID)
	secret.Data[clientSecretKey] = []byte(wanted.Secret.Reveal())
	if len(secret.Data[cookieSecretKey]) == 0 {
		secret.Data[cookieSecretKey] = newCookieSecret()
	}
	delete(secret.Data, caKey)
	if c.Config.Issuer.CABundle != "" {
		secret.Data[caKey] = []byte(c.Config.Issuer.CABundle)
	}
	if create {
		err = c.Client.Create(ctx, secret)
	} else {
		err = c.Client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", c.key(secret.Name), err)
	}
	return nil
}

// ObserveUndo says Needed if the job's Secret is there.
func (c *credentials) ObserveUndo(ctx context.Context) (bootstrap.Observation, error) {
	found, err := c.secret(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case found == nil:
		return done("Absent", "Secret %s is gone", c.key(c.Config.Proxy.SecretName)), nil
	case !ours(found):
		return done("Kept", "Secret %s is not the job's and is kept", c.key(found.Name)), nil
	}
	return needed("Present", "Secret %s is to be deleted", c.key(found.Name)), nil
}

// Undo deletes the Secret. The user's own stays.
func (c *credentials) Undo(ctx context.Context) error {
	key := c.key(c.Config.Proxy.SecretName)
	gone := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if err := c.Client.Delete(ctx, gone); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", key, err)
	}
	return nil
}

// secret returns the job's Secret, or nil.
func (e Environment) secret(ctx context.Context) (*corev1.Secret, error) {
	var found corev1.Secret
	key := e.key(e.Config.Proxy.SecretName)
	err := e.Client.Get(ctx, key, &found)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	return &found, nil
}

// userCredentials reads the user's Secret and names everything that is wrong
// with it. Values are never part of that.
func (e Environment) userCredentials(ctx context.Context) (oidc.Credentials, []string, error) {
	from := e.Config.Credentials
	key := client.ObjectKey{Namespace: from.Namespace, Name: from.Name}
	var secret corev1.Secret
	err := e.Client.Get(ctx, key, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return oidc.Credentials{}, []string{fmt.Sprintf(
			"Secret %s does not exist; create it with `kubectl create secret generic %s --namespace %s --from-file=%s --from-file=%s`",
			key, key.Name, key.Namespace, from.ClientIDKey, from.ClientSecretKey)}, nil
	case err != nil:
		return oidc.Credentials{}, nil, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	var gaps []string
	for _, name := range []string{from.ClientIDKey, from.ClientSecretKey} {
		value := data(&secret, name)
		switch {
		case strings.TrimSpace(value) == "":
			gaps = append(gaps, fmt.Sprintf("key %s of Secret %s is missing or empty; set it to what the issuer gave you", name, key))
		case placeholder.MatchString(value):
			gaps = append(gaps, fmt.Sprintf("key %s of Secret %s is a placeholder; set it to what the issuer gave you", name, key))
		}
	}
	return oidc.Credentials{
		ClientID: data(&secret, from.ClientIDKey),
		Secret:   oidc.NewSecret(data(&secret, from.ClientSecretKey)),
	}, gaps, nil
}

func (c *credentials) matches(found *corev1.Secret, wanted oidc.Credentials) bool {
	return string(found.Data[clientIDKey]) == wanted.ClientID &&
		oidc.NewSecret(string(found.Data[clientSecretKey])).Equal(wanted.Secret) &&
		len(found.Data[cookieSecretKey]) > 0 &&
		string(found.Data[caKey]) == c.Config.Issuer.CABundle
}

// newCookieSecret returns 32 random bytes in base64url, which the proxy decodes.
func newCookieSecret() []byte {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // Never fails (crypto/rand, Go 1.24).
	return []byte(base64.URLEncoding.EncodeToString(raw))
}

// cookieSecretFits says whether the proxy accepts it: 16, 24 or 32 bytes, as they
// are or in base64url (oauth2-proxy 7.15, pkg/encryption/utils.go).
func cookieSecretFits(value string) bool {
	if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "=")); err == nil && aesKey(len(raw)) {
		return true
	}
	return aesKey(len(value))
}

func aesKey(length int) bool { return length == 16 || length == 24 || length == 32 }

// fingerprint changes when the credentials change, and only then. It goes onto
// the Pods, because the chart does not restart them for a Secret that is not its
// own. It is keyed with the cookie secret, so that it tells nothing to those who
// do not have that.
func fingerprint(secret *corev1.Secret) string {
	mac := hmac.New(sha256.New, secret.Data[cookieSecretKey])
	for _, key := range []string{clientIDKey, clientSecretKey, caKey} {
		_, _ = fmt.Fprintf(mac, "%s %d\n", key, len(secret.Data[key])) // A hash never fails.
		mac.Write(secret.Data[key])
	}
	return hex.EncodeToString(mac.Sum(nil))
}
