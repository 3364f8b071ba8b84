//! Films whose clips ComfyUI renders, by processes over a real RabbitMQ that are killed while they work: each scene is rendered
//! once, by the server's own count.

mod kills;
mod orders;
mod previews;
mod studio;
