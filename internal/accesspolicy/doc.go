// Package accesspolicy holds the rules of Amazon EKS's access policies and
// evaluates requests against them.
//
// The rules stand only in the EKS user guide: no API returns them, and they are
// not those of the ClusterRoles with similar names. Each policy is a file in
// policies/, one rule for each row of the guide's table, in its order, with its
// source and the date it was read. A policy without a published table is known by
// name and allows nothing here ([Policy.Published]).
//
// Policies only allow. An evaluation answers "allowed", and by what, or has no
// opinion. Verbs, API groups and resources match as they do in RBAC: EKS evaluates
// access policies with RBAC's own rules (its audit log gives the reason "allowed by
// ClusterRoleBinding … of ClusterRole arn:aws:eks::aws:cluster-access-policy/…").
// No published rule names single objects, so a request's object name does not
// matter.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html,
// https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html
package accesspolicy
