// Package authorizer answers kube-apiserver's question whether an EKS access policy
// allows a request: it is the http.Handler of a SubjectAccessReview webhook. It owns
// no listener.
//
// It answers "allowed" or "no opinion" and never denies. A question that it cannot
// answer gets an HTTP status, which kube-apiserver takes for a failure: it does not
// cache it, and answers the request with 500 unless another authorizer allows it:
//
//	a policy of the user's access entry allows it   200, allowed true, a reason
//	anything else                                   200, allowed false, denied false
//	the access entries are not available            503 without Retry-After
//	not a SubjectAccessReview                       400, 405, 413 or 415
//
// Without Retry-After kube-apiserver asks once; with it, it would repeat the
// question until its timeout while the request waits.
//
// # Who it is
//
// Whoever may name users can choose a user name, and groups are anybody's. So a user
// is known by the extras canonicalArn and principalId alone, which internal/webhook
// sets in its TokenReview answers. Their capitals matter: kube-apiserver lower-cases
// the keys of extras that come in headers, of impersonation (Impersonate-Extra-) and
// of front proxies (X-Remote-Extra-), and refuses capitals in the extras of its JWT
// authenticators. Then the access entry of that principal must exist, have that
// unique id, and give the very user name of the review, and the review must have all
// groups that the entry gives.
//
// The groups are there because lower-casing has a gap: kube-apiserver lower-cases a
// header's key before it decodes percent signs, so that Impersonate-Extra-canonical%41rn
// is canonicalArn. Whoever uses it needs leave to impersonate the userextras canonicalArn
// and principalId, in those letters or by a wildcard, besides the user name. They cannot
// add a group that they may not impersonate.
//
// Sources: https://kubernetes.io/docs/reference/access-authn-authz/webhook/,
// KEP-3221; in k8s.io/apiserver v0.36.3 newExtra and unescapeExtraKey in
// pkg/authentication/request/headerrequest/requestheader.go, buildImpersonationRequests
// in pkg/endpoints/filters/impersonation/impersonation.go, "must be lowercase" in
// pkg/apis/apiserver/validation/validation.go, and DefaultShouldRetry in
// pkg/util/webhook/webhook.go.
package authorizer
