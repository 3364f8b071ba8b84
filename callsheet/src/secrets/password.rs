//! A password: drawn, and as RabbitMQ keeps it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use shared::settings::Secret;

/// What RabbitMQ calls the hash that is made here.
pub(super) const HASHING_ALGORITHM: &str = "rabbit_password_hashing_sha256";
/// Random bytes of a password or a token: nobody guesses them, and nobody has to type them.
const BYTES: usize = 24;

/// Draws a password, in letters that need no escape anywhere.
pub(super) fn draw() -> Secret {
    let digits = random::<BYTES>().map(|byte| format!("{byte:02x}"));
    Secret::new(digits.concat())
}

/// The hash of a password with a fresh salt.
pub(super) fn hash(password: &Secret) -> String {
    salted(random(), password)
}

/// The salt, and the hash of the salt and the password, in base64.
fn salted(salt: [u8; 4], password: &Secret) -> String {
    let hash = Sha256::new()
        .chain_update(salt)
        .chain_update(password.expose());
    STANDARD.encode([&salt[..], &hash.finalize()].concat())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every system that we run on has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_of_rabbitmqs_documentation() {
        let hash = salted([0x90, 0x8d, 0xc6, 0x0a], &Secret::new("test12"));
        assert_eq!(hash, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn no_two_passwords_are_the_same_and_no_two_hashes_of_one() {
        let password = draw();
        assert_ne!(password, draw());
        assert_eq!(password.expose().len(), 48);
        assert_ne!(hash(&password), hash(&password));
    }
}
