//! The scenarios: how much of what happens when.

use clap::ValueEnum;
use std::fmt;

/// What happens during a run. Moments are parts of its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scenario {
    /// The undisturbed mix, with one healthy deploy half way.
    Normal,
    /// From 40 % to 70 % one more error kind comes, at ten times the rate of all the others.
    SpikeErrors,
    /// From 50 % on nearly all sign-ups stay away.
    DropSignups,
    /// A deploy at 40 %; from 42 % on the new release fails in a new way.
    DeployThenSpike,
}

/// What an event of the mix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A served request.
    Request,
    /// One of the errors that are always there.
    Error,
    /// A new user.
    Signup,
    /// Words of a user.
    Feedback,
    /// Something of the application's own.
    Custom,
    /// The error that the scenario is about.
    Surge,
    /// A release goes out.
    Deploy,
}

/// How many events of each kind there are for one event of the undisturbed mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Served requests.
    pub requests: f64,
    /// The errors that are always there.
    pub errors: f64,
    /// New users.
    pub signups: f64,
    /// Words of users.
    pub feedback: f64,
    /// The application's own events.
    pub custom: f64,
    /// The error that the scenario is about.
    pub surge: f64,
}

/// Adds up to 1.
const UNDISTURBED: Mix = Mix { requests: 0.70, errors: 0.15, signups: 0.08, feedback: 0.04, custom: 0.03, surge: 0.0 };

impl Mix {
    /// Events of all kinds together.
    pub fn total(&self) -> f64 {
        self.requests + self.errors + self.signups + self.feedback + self.custom + self.surge
    }

    /// The kind that a roll in [0, 1) falls on.
    pub fn choose(&self, roll: f64) -> Kind {
        let mut left = roll * self.total();
        let shares = [
            (self.errors, Kind::Error),
            (self.signups, Kind::Signup),
            (self.feedback, Kind::Feedback),
            (self.custom, Kind::Custom),
            (self.surge, Kind::Surge),
        ];
        for (share, kind) in shares {
            if left < share {
                return kind;
            }
            left -= share;
        }
        Kind::Request
    }
}

impl Scenario {
    /// The mix at a moment of the run, 0 to 1.
    pub fn mix(self, progress: f64) -> Mix {
        match self {
            Self::SpikeErrors if (0.4..0.7).contains(&progress) => Mix { surge: 1.5, ..UNDISTURBED },
            Self::DropSignups if progress >= 0.5 => Mix { signups: 0.002, ..UNDISTURBED },
            Self::DeployThenSpike if progress >= 0.42 => Mix { surge: 1.0, ..UNDISTURBED },
            Self::Normal | Self::SpikeErrors | Self::DropSignups | Self::DeployThenSpike => UNDISTURBED,
        }
    }

    /// The moments of the deploys, in order.
    pub fn deploys(self) -> &'static [f64] {
        match self {
            Self::Normal => &[0.5],
            Self::SpikeErrors | Self::DropSignups => &[0.1],
            Self::DeployThenSpike => &[0.1, 0.4],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::SpikeErrors => "spike_errors",
            Self::DropSignups => "drop_signups",
            Self::DeployThenSpike => "deploy_then_spike",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for scenario in Scenario::value_variants() {
            let name = scenario.to_string();
            assert_eq!(Scenario::from_str(&name, false), Ok(*scenario), "{name}");
        }
    }

    #[test]
    fn the_undisturbed_mix_is_one_event() {
        assert!((UNDISTURBED.total() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_roll_falls_on_each_kind_in_proportion() {
        let mix = Mix { surge: 1.0, ..UNDISTURBED };
        let rolls = || (0..20_000u32).map(|n| f64::from(n) / 20_000.0);
        let share = |kind| rolls().filter(|roll| mix.choose(*roll) == kind).count();
        for (kind, expected) in
            [(Kind::Surge, 10_000), (Kind::Request, 7_000), (Kind::Error, 1_500), (Kind::Signup, 800)]
        {
            // A roll that falls on the very edge of a share may go either way.
            assert!(share(kind).abs_diff(expected) <= 1, "{kind:?}: {}", share(kind));
        }
        assert_eq!(share(Kind::Deploy), 0, "deploys have moments, not rates");
    }
}
