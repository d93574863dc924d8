//! Fresh secrets.

use uuid::Uuid;

/// 244 random bits as 64 hexadecimal digits.
pub fn fresh() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
