//! What prompts say whoever wrote the story.

use shared::story::Camera;

/// What no picture should show, unless a script says otherwise.
pub(crate) const NEGATIVE_PROMPT: &str = "text, captions, watermark, logo, signature, frame, deformed hands, extra limbs, duplicate figures, blur, low resolution";

/// A camera move as prompts say it.
pub(crate) const fn camera_phrase(camera: Camera) -> &'static str {
    match camera {
        Camera::Static => "locked camera",
        Camera::PushIn => "slow push in",
        Camera::PullOut => "slow pull out",
        Camera::PanLeft => "slow pan to the left",
        Camera::PanRight => "slow pan to the right",
        Camera::TiltUp => "slow tilt up",
        Camera::TiltDown => "slow tilt down",
    }
}
