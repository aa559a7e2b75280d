// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
)

func secretOf(held material) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "guard", Name: "tls", ResourceVersion: "1"},
		Data: map[string][]byte{
			CAFile: held.authorities, caKeyFile: held.caKey, CertificateFile: held.certificate, KeyFile: held.key,
		},
	}
}

func configurations(bundle []byte) []runtime.Object {
	config := admissionregistrationv1.WebhookClientConfig{CABundle: bundle}
	return []runtime.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "guard"},
			Webhooks:   []admissionregistrationv1.MutatingWebhook{{Name: "one", ClientConfig: config}},
		},
		&admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "guard"},
			Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: "two", ClientConfig: config}, {Name: "three", ClientConfig: config}},
		},
	}
}

// cluster returns a client of objects in which, as in an API server and unlike in
// the fake by itself, a Secret that is not what it was when it was read is not
// written.
func cluster(objects ...runtime.Object) *fake.Clientset {
	client := fake.NewClientset(objects...)
	version := 1
	client.PrependReactor("update", "secrets", func(action ktesting.Action) (bool, runtime.Object, error) { // one call at a time
		update := action.(ktesting.UpdateAction).GetObject().(*corev1.Secret)
		if read := update.ResourceVersion; read != "" && read != strconv.Itoa(version) {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, update.Name, nil)
		}
		version++
		update.ResourceVersion = strconv.Itoa(version)
		return false, nil, nil
	})
	return client
}

// keeping runs a Keeper over objects until the test ends.
func keeping(t *testing.T, client *fake.Clientset) (*Keeper, *atomic.Int64) {
	t.Helper()
	expiry := &atomic.Int64{}
	keeper := &Keeper{
		Client: client, Secret: types.NamespacedName{Namespace: "guard", Name: "tls"}, Configuration: "guard",
		Names: names, Validity: validity, Expiry: func(at time.Time) { expiry.Store(at.Unix()) },
		Clock: testclock.NewFakeClock(begin), Log: logr.Discard(),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- keeper.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return keeper, expiry
}

func serves(keeper *Keeper) func() bool {
	return func() bool {
		_, err := keeper.GetCertificate(nil)
		return err == nil
	}
}

func bundles(t *testing.T, client *fake.Clientset) [][]byte {
	t.Helper()
	api := client.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "guard", metav1.GetOptions{})
	require.NoError(t, err)
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "guard", metav1.GetOptions{})
	require.NoError(t, err)
	return [][]byte{mutating.Webhooks[0].ClientConfig.CABundle, validating.Webhooks[0].ClientConfig.CABundle, validating.Webhooks[1].ClientConfig.CABundle}
}

const patience, glance = time.Minute, 5 * time.Millisecond

func TestAnEmptySecretIsFilledAndEveryWebhookLearnsOfIt(t *testing.T) {
	client := cluster(append(configurations(nil), secretOf(material{}))...)
	keeper, expiry := keeping(t, client)
	require.Eventually(t, serves(keeper), patience, glance)
	secret, err := client.CoreV1().Secrets("guard").Get(t.Context(), "tls", metav1.GetOptions{})
	require.NoError(t, err)
	for _, bundle := range bundles(t, client) {
		assert.Equal(t, string(secret.Data[CAFile]), string(bundle))
	}
	assert.Equal(t, begin.Add(validity.Certificate).Unix(), expiry.Load())
}

func TestAGoodSecretIsNotWritten(t *testing.T) {
	client := cluster(append(configurations(nil), secretOf(made(t)))...)
	keeper, _ := keeping(t, client)
	require.Eventually(t, serves(keeper), patience, glance)
	for _, action := range client.Actions() {
		assert.False(t, action.Matches("update", "secrets"), "it was written")
	}
}

func TestABundleThatSomebodyTookAwayComesBack(t *testing.T) {
	held := made(t)
	client := cluster(append(configurations(held.authorities), secretOf(held))...)
	keeper, _ := keeping(t, client)
	require.Eventually(t, serves(keeper), patience, glance)
	objects := configurations(nil)
	_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(),
		objects[0].(*admissionregistrationv1.MutatingWebhookConfiguration), metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(bundles(t, client)[0]) > 0 }, patience, glance)
}

func TestNothingIsServedWhileTheBundleCannotBeWritten(t *testing.T) {
	client := cluster(append(configurations(nil), secretOf(made(t)))...)
	tried := make(chan struct{}, 100)
	client.PrependReactor("patch", "validatingwebhookconfigurations", func(ktesting.Action) (bool, runtime.Object, error) {
		tried <- struct{}{}
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, "guard", nil)
	})
	keeper, _ := keeping(t, client)
	<-tried
	assert.False(t, serves(keeper)())
}

func TestAReplicaThatWasSlowerTakesOverWhatTheOtherWrote(t *testing.T) {
	client := cluster(append(configurations(nil), secretOf(material{}))...)
	winner := made(t)
	client.PrependReactor("update", "secrets", func(action ktesting.Action) (bool, runtime.Object, error) {
		update := action.(ktesting.UpdateAction).GetObject().(*corev1.Secret)
		if string(update.Data[CAFile]) == string(winner.authorities) {
			return false, nil, nil
		}
		go func() {
			_, _ = client.CoreV1().Secrets("guard").Update(context.WithoutCancel(t.Context()), secretOf(winner), metav1.UpdateOptions{})
		}()
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "tls", nil)
	})
	keeper, _ := keeping(t, client)
	require.Eventually(t, serves(keeper), patience, glance)
	served, err := keeper.GetCertificate(nil)
	require.NoError(t, err)
	leaf, err := parse(winner.certificate)
	require.NoError(t, err)
	assert.Equal(t, leaf.Raw, served.Certificate[0])
}

func TestWithoutASecretNothingIsServed(t *testing.T) {
	keeper := &Keeper{Secret: types.NamespacedName{Namespace: "guard", Name: "tls"}, Clock: testclock.NewFakeClock(begin), Client: fake.NewClientset(), Configuration: "guard"}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, err := keeper.watch(ctx)
	require.NoError(t, err)
	wait, err := keeper.sync(ctx, seen)
	require.EqualError(t, err, "there is no Secret guard/tls; install the chart, which makes it")
	assert.Equal(t, retry, wait)
}
