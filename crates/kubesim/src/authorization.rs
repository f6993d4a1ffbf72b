//! Who may do what: roles and bindings, as Kubernetes' RBAC evaluates them.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::resource::GroupResource;
use crate::resource::builtin::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES};

const ROLES: GroupResource = GroupResource::new("rbac.authorization.k8s.io", "roles");
const ROLE_BINDINGS: GroupResource =
    GroupResource::new("rbac.authorization.k8s.io", "rolebindings");

/// Who asks. A request without one comes from inside the simulation, and may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, e.g. `kubernetes-admin` or `system:serviceaccount:demo:default`.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl User {
    /// A user who has proved who he is.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]);
        Self {
            name: name.to_owned(),
            groups: groups.map(str::to_owned).collect(),
        }
    }

    /// Somebody who may do everything.
    #[must_use]
    pub fn admin() -> Self {
        Self::new("kubernetes-admin", &["system:masters"])
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// API group; of a resource.
    pub group: String,
    /// Plural name; empty when it is about a path.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty for all, and for cluster-scoped resources.
    pub namespace: String,
    /// Name; empty for any.
    pub name: String,
    /// The path, when it is about no resource.
    pub path: String,
}

impl Wish {
    /// What the server says to who may not.
    fn refusal(&self, user: &User) -> ApiError {
        let (name, verb) = (&user.name, &self.verb);
        if self.resource.is_empty() {
            let path = &self.path;
            let message = format!("forbidden: User \"{name}\" cannot {verb} path \"{path}\"");
            return ApiError::new(403, "Forbidden", message);
        }
        let resource = if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        };
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        let why = format!(
            "User \"{name}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
            self.group
        );
        let id = GroupResource::named(&self.group, &self.resource);
        if self.name.is_empty() {
            let message = format!("{id} is forbidden: {why}");
            let mut error = ApiError::new(403, "Forbidden", message);
            error.details = json!({"group": self.group, "kind": self.resource});
            return error;
        }
        ApiError::forbidden(&id, &self.name, &why)
    }
}

/// Refuses what a user may not do.
///
/// # Errors
/// 403 in the words of a real server.
pub fn enforce(cluster: &Cluster, user: &User, wish: &Wish) -> Result<(), ApiError> {
    match decide(cluster, user, wish) {
        Some(_) => Ok(()),
        None => Err(wish.refusal(user)),
    }
}

/// Why a user may do something; none when nothing allows it.
#[must_use]
pub fn decide(cluster: &Cluster, user: &User, wish: &Wish) -> Option<String> {
    if user.is_in("system:masters") {
        return Some(String::new());
    }
    if is_node_about_itself(user, wish) {
        // The Node authorizer gives no reason.
        return Some(String::new());
    }
    if user.is_in("system:authenticated") && basic_rules().iter().any(|rule| allows(rule, wish)) {
        return Some("RBAC: allowed by the rules for every authenticated user".to_owned());
    }
    grants(cluster, user, &wish.namespace)
        .into_iter()
        .find(|grant| grant.rules.iter().any(|rule| allows(rule, wish)))
        .map(|grant| grant.because)
}

/// Whether a kubelet asks for its own node, as the Node authorizer allows.
fn is_node_about_itself(user: &User, wish: &Wish) -> bool {
    let own = user.name.strip_prefix("system:node:");
    user.is_in("system:nodes")
        && own.is_some_and(|own| own == wish.name)
        && (wish.group.as_str(), wish.resource.as_str()) == ("", "nodes")
        && wish.verb == "get"
}

/// Every rule that holds for a user in a namespace.
#[must_use]
pub fn rules(cluster: &Cluster, user: &User, namespace: &str) -> Vec<Value> {
    if user.is_in("system:masters") {
        return vec![
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
        ];
    }
    let own = grants(cluster, user, namespace);
    basic_rules()
        .into_iter()
        .chain(own.into_iter().flat_map(|grant| grant.rules))
        .collect()
}

/// What `system:basic-user` and `system:discovery` give everybody.
fn basic_rules() -> Vec<Value> {
    vec![
        json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]}),
        json!({"verbs": ["create"], "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"]}),
        json!({"verbs": ["get"], "nonResourceURLs": [
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/livez/*", "/openapi",
            "/openapi/*", "/readyz", "/readyz/*", "/version", "/version/"]}),
    ]
}

/// Rules that a binding gives a user.
struct Grant {
    because: String,
    rules: Vec<Value>,
}

fn grants(cluster: &Cluster, user: &User, namespace: &str) -> Vec<Grant> {
    let api = cluster.api();
    let mut bindings: Vec<_> = api
        .list(&CLUSTER_ROLE_BINDINGS, None)
        .into_iter()
        .map(|binding| ("ClusterRoleBinding", binding))
        .collect();
    if !namespace.is_empty() {
        let own = api.list(&ROLE_BINDINGS, Some(namespace));
        bindings.extend(own.into_iter().map(|binding| ("RoleBinding", binding)));
    }
    let mut grants = Vec::new();
    for (kind, binding) in bindings {
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        let Some(subject) = subjects
            .into_iter()
            .find(|subject| is(subject, user, namespace))
        else {
            continue;
        };
        let role = &binding["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        let found = if role["kind"] == "Role" {
            api.get(&ROLES, namespace, name)
        } else {
            api.get(&CLUSTER_ROLES, "", name)
        };
        let Some(found) = found else { continue };
        grants.push(Grant {
            because: format!(
                "RBAC: allowed by {kind} {} of {} {} to {} {}",
                binding["metadata"]["name"],
                text(&role["kind"]),
                role["name"],
                text(&subject["kind"]),
                subject["name"],
            ),
            rules: found["rules"].as_array().cloned().unwrap_or_default(),
        });
    }
    grants
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a binding's subject is this user.
fn is(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = text(&subject["name"]);
    match text(&subject["kind"]) {
        "User" => user.name == name,
        "Group" => user.is_in(name),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str().unwrap_or(namespace);
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

/// Whether a rule allows a wish.
fn allows(rule: &Value, wish: &Wish) -> bool {
    let has = |field: &str, wanted: &dyn Fn(&str) -> bool| {
        let mut words = rule[field].as_array().into_iter().flatten();
        words.any(|word| word.as_str().is_some_and(wanted))
    };
    if !has("verbs", &|verb| verb == "*" || verb == wish.verb) {
        return false;
    }
    if wish.resource.is_empty() {
        return has("nonResourceURLs", &|url| match url.strip_suffix('*') {
            Some(prefix) => wish.path.starts_with(prefix),
            None => url == wish.path,
        });
    }
    let named = rule["resourceNames"]
        .as_array()
        .is_some_and(|names| !names.is_empty());
    has("apiGroups", &|group| group == "*" || group == wish.group)
        && has("resources", &|resource| match resource.split_once('/') {
            _ if resource == "*" => true,
            Some((resource, sub)) => {
                sub == wish.subresource && (resource == "*" || resource == wish.resource)
            }
            None => wish.subresource.is_empty() && resource == wish.resource,
        })
        && (!named
            || has("resourceNames", &|name| {
                !wish.name.is_empty() && name == wish.name
            }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(verb: &str, resource: &str, subresource: &str, name: &str) -> Wish {
        Wish {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            ..Wish::default()
        }
    }

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_else() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]});
        assert!(allows(&rule, &wish("get", "pods", "", "")));
        assert!(allows(&rule, &wish("get", "pods", "log", "")));
        assert!(!allows(&rule, &wish("get", "pods", "exec", "")));
        assert!(!allows(&rule, &wish("list", "pods", "", "")));
        let named =
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]});
        assert!(allows(&named, &wish("get", "pods", "", "a")));
        assert!(!allows(&named, &wish("list", "pods", "", "")));
        let path = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]});
        let about = |path: &str| Wish {
            verb: "get".to_owned(),
            path: path.to_owned(),
            ..Wish::default()
        };
        assert!(allows(&path, &about("/api/v1")));
        assert!(!allows(&path, &about("/healthz/etcd")));
    }

    #[test]
    fn a_refusal_says_who_cannot_do_what_where() {
        let user = User::new("jane", &[]);
        let mut wish = wish("list", "pods", "", "");
        assert_eq!(
            wish.refusal(&user).message,
            "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" at the cluster scope"
        );
        wish.namespace = "demo".to_owned();
        wish.name = "a".to_owned();
        assert_eq!(
            wish.refusal(&user).message,
            "pods \"a\" is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"demo\""
        );
    }
}
