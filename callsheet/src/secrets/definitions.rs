//! RabbitMQ's definitions: a virtual host with its users, what each may do, and everything that is always there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::broker::rights::{Rights, Role};
use shared::broker::topology::{
    self, Argument, EXCHANGES, ExchangeKind, FIXED_QUEUES, QueueDeclaration,
};
use shared::settings::Secret;

use super::password;

/// The virtual host of an installation.
pub(super) const VIRTUAL_HOST: &str = "callsheet";

/// The definitions for users with these passwords.
pub(super) fn definitions(passwords: &BTreeMap<Role, Secret>) -> Value {
    let queues = FIXED_QUEUES.each_ref().map(topology::declaration);
    json!({
        "vhosts": [{ "name": VIRTUAL_HOST }],
        "users": passwords.iter().map(user).collect::<Value>(),
        "permissions": passwords.keys().map(permission).collect::<Value>(),
        "exchanges": EXCHANGES.map(|exchange| json!({
            "name": exchange.name,
            "vhost": VIRTUAL_HOST,
            "type": match exchange.kind {
                ExchangeKind::Direct => "direct",
                ExchangeKind::Fanout => "fanout",
            },
            "durable": true,
            "auto_delete": false,
            "internal": false,
            "arguments": {},
        })),
        "queues": queues.iter().map(queue).collect::<Value>(),
        "bindings": queues.iter().flat_map(bindings).collect::<Value>(),
    })
}

fn user((role, password): (&Role, &Secret)) -> Value {
    // Only people may see RabbitMQ's page.
    let tags: &[&str] = match role {
        Role::Administrator => &["monitoring"],
        Role::Coordinator | Role::Worker | Role::Submitter => &[],
    };
    json!({
        "name": role.user(),
        "password_hash": password::hash(password),
        "hashing_algorithm": password::HASHING_ALGORITHM,
        "tags": tags,
    })
}

fn permission(role: &Role) -> Value {
    let Rights {
        configure,
        write,
        read,
    } = role.rights();
    json!({
        "user": role.user(),
        "vhost": VIRTUAL_HOST,
        "configure": configure,
        "write": write,
        "read": read,
    })
}

fn queue(queue: &QueueDeclaration) -> Value {
    let arguments = queue.arguments().into_iter().map(|(name, value)| {
        let value = match value {
            Argument::Text(text) => json!(text),
            Argument::Number(number) => json!(number),
            Argument::Flag(flag) => json!(flag),
        };
        (name.to_owned(), value)
    });
    json!({
        "name": queue.name,
        "vhost": VIRTUAL_HOST,
        "durable": true,
        "auto_delete": false,
        "arguments": arguments.collect::<Value>(),
    })
}

fn bindings(queue: &QueueDeclaration) -> impl Iterator<Item = Value> {
    queue.bindings.iter().map(|exchange| {
        json!({
            "source": exchange,
            "vhost": VIRTUAL_HOST,
            "destination": queue.name,
            "destination_type": "queue",
            "routing_key": queue.name,
            "arguments": {},
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_in_there_as_hashes_alone_and_only_the_administrator_sees_the_page() {
        let passwords: BTreeMap<_, _> = Role::ALL
            .into_iter()
            .map(|role| (role, Secret::new(format!("pa55-{role}"))))
            .collect();
        let made = definitions(&passwords);
        assert!(!made.to_string().contains("pa55"));
        let users = made["users"].as_array().unwrap();
        let people: Vec<_> = users
            .iter()
            .filter(|user| user["tags"] != json!([]))
            .map(|user| &user["name"])
            .collect();
        assert_eq!((users.len(), people), (4, vec![&json!("admin")]));
    }

    #[test]
    fn a_queue_stands_there_as_the_coordinator_declares_it() {
        let submissions = topology::declaration(&shared::broker::Queue::Submissions);
        assert_eq!(
            queue(&submissions)["arguments"],
            json!({
                "x-queue-type": "quorum",
                "x-delivery-limit": 10,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "callsheet.submissions.rejected",
            })
        );
        let bindings: Vec<_> = bindings(&submissions).collect();
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0]["source"], "callsheet.submissions");
    }
}
