//! Camera moves: which part of a picture is seen at which moment.

use shared::story::Camera;

use crate::picture::Plane;

/// The part of a picture that is seen, in shares of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    pub(crate) left: f64,
    pub(crate) top: f64,
    /// Width and height of the part, as the same share of the whole.
    pub(crate) share: f64,
}

/// A camera move over a clip.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    camera: Camera,
    /// How much nearer the nearest view is than the whole picture: 0.14 shows it 1.14 times as large.
    reach: f64,
}

impl Move {
    /// The move of a clip of that length. Longer clips travel further, within what a picture bears.
    pub fn new(camera: Camera, seconds: f64) -> Self {
        let reach = match camera {
            Camera::Static => 0.0,
            _ => (0.035 * seconds).clamp(0.1, 0.4),
        };
        Self { camera, reach }
    }

    /// How much larger than life the nearest view is.
    pub(crate) fn nearest(&self) -> f64 {
        1.0 + self.reach
    }

    /// Whether all moments look the same.
    pub(crate) fn is_still(&self) -> bool {
        self.camera == Camera::Static
    }

    /// What is seen of a plane at a moment from 0 to 1. What is near moves more than what is far.
    pub(crate) fn view(&self, plane: Plane, moment: f64) -> View {
        let follow = match plane {
            Plane::Far => 0.55,
            Plane::Middle => 0.78,
            Plane::Near => 1.0,
        };
        let moment = eased(moment);
        // Where on the way across: from -1 to 1.
        let way = 2.0 * moment - 1.0;
        let (zoom, across, down) = match self.camera {
            Camera::Static => (1.0, 0.0, 0.0),
            Camera::PushIn => (1.0 + self.reach * moment * follow, 0.0, 0.0),
            Camera::PullOut => (1.0 + self.reach * (1.0 - moment) * follow, 0.0, 0.0),
            Camera::PanLeft => (self.nearest(), -way * follow, 0.0),
            Camera::PanRight => (self.nearest(), way * follow, 0.0),
            Camera::TiltUp => (self.nearest(), 0.0, -way * follow),
            Camera::TiltDown => (self.nearest(), 0.0, way * follow),
        };
        let share = 1.0 / zoom;
        let slack = (1.0 - share) / 2.0;
        View {
            left: slack * (1.0 + across),
            top: slack * (1.0 + down),
            share,
        }
    }
}

/// Sets off and comes to rest softly, yet is never slower than half its speed: a move that begins too slowly looks stuck.
fn eased(moment: f64) -> f64 {
    let moment = moment.clamp(0.0, 1.0);
    let soft = moment * moment * (3.0 - 2.0 * moment);
    (moment + soft) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(camera: Camera) -> Vec<View> {
        let all = Move::new(camera, 4.0);
        (0..=48)
            .map(|frame| all.view(Plane::Near, f64::from(frame) / 48.0))
            .collect()
    }

    fn steps(camera: Camera, part: impl Fn(&View) -> f64) -> Vec<f64> {
        let views = views(camera);
        views
            .windows(2)
            .map(|pair| part(&pair[1]) - part(&pair[0]))
            .collect()
    }

    #[test]
    fn every_move_goes_its_way_in_every_frame() {
        assert!(
            steps(Camera::PanRight, |view| view.left)
                .iter()
                .all(|step| *step > 0.0)
        );
        assert!(
            steps(Camera::PanLeft, |view| view.left)
                .iter()
                .all(|step| *step < 0.0)
        );
        assert!(
            steps(Camera::TiltDown, |view| view.top)
                .iter()
                .all(|step| *step > 0.0)
        );
        assert!(
            steps(Camera::TiltUp, |view| view.top)
                .iter()
                .all(|step| *step < 0.0)
        );
        assert!(
            steps(Camera::PushIn, |view| view.share)
                .iter()
                .all(|step| *step < 0.0)
        );
        assert!(
            steps(Camera::PullOut, |view| view.share)
                .iter()
                .all(|step| *step > 0.0)
        );
        assert!(
            steps(Camera::Static, |view| view.share + view.left + view.top)
                .iter()
                .all(|step| *step == 0.0)
        );
    }

    #[test]
    fn no_view_leaves_the_picture() {
        for camera in Camera::ALL {
            for seconds in [0.5, 4.0, 60.0] {
                for plane in Plane::ALL {
                    for frame in 0..=10 {
                        let view = Move::new(camera, seconds).view(plane, f64::from(frame) / 10.0);
                        let inside = |start: f64| start >= 0.0 && start + view.share <= 1.0 + 1e-9;
                        assert!(
                            inside(view.left) && inside(view.top),
                            "{camera} {plane:?} {view:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_near_moves_more_than_what_is_far() {
        let all = Move::new(Camera::PanRight, 4.0);
        let way = |plane| all.view(plane, 1.0).left - all.view(plane, 0.0).left;
        assert!(way(Plane::Near) > way(Plane::Middle) && way(Plane::Middle) > way(Plane::Far));
    }
}
